"""Truth degrees in [0, 1] under three t-norms, and truth values under Boolean logic, with one interface.

Shapes: operands x (..., n) along the last dimension; results (...). All are differentiable; each equals Boolean logic on {0,
1}.

              Lukasiewicz                       Godel                          product
    and       max(0, sum x - n + 1)             min x                          prod x
    or        min(1, sum x)                     max x                          1 - prod(1 - x)
    a -> b    min(1, 1 - a + b)                 1 if a <= b else b             min(1, b / a)          `residuum`
              or(1 - a, b)                      or(1 - a, b)                   or(1 - a, b)           `strong`
    iff       and(x) + and(1 - x), at most 1    max(and(x), and(1 - x))        u + v - u v, u = and(x), v = and(1 - x)
    xor       min(1, a + b) - max(0, a + b - 1) max(min(a, 1-b), min(1-a, b))  a + b - 2 a b          folded over x
    >= k      sum of the k largest - (k - 1)    k-th largest                   P(count >= k)
    <= k      n - k of 1 - x                    n - k of 1 - x                 P(count <= k)
    = k       and(>= k, <= k)                   and(>= k, <= k)                P(count = k)

Counts that always or never hold are 1 or 0 exactly. Lukasiewicz "at least one" is its `or`; hence its counts are not dual:
"at most n - 1" is not the negation of "all". Product counts treat operands as independent (`counting`).

Klement, Mesiar, Pap, "Triangular Norms", 2000; the counts follow DomiKnowS (Faghihi et al., EMNLP 2021), where it is sound:
there a product `or` of three operands exceeds 1, and 0 -> 0 is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32
from kdzoo_knowledge.logic.counting import count_distribution

Implication = Literal["residuum", "strong"]


class Logic(Protocol):
    """How connectives act on tensors. Operands (..., n), results (...)."""

    def negation(self, x: Tensor) -> Tensor: ...

    def conjunction(self, x: Tensor) -> Tensor: ...

    def disjunction(self, x: Tensor) -> Tensor: ...

    def implication(self, a: Tensor, b: Tensor) -> Tensor: ...

    def equivalence(self, x: Tensor) -> Tensor: ...

    def exclusive(self, x: Tensor) -> Tensor: ...

    def at_least(self, x: Tensor, k: int) -> Tensor: ...

    def at_most(self, x: Tensor, k: int) -> Tensor: ...

    def exactly(self, x: Tensor, k: int) -> Tensor: ...


@dataclass(frozen=True)
class Lukasiewicz:
    """The t-norm of bounded sums."""

    implies: Implication = "residuum"

    def negation(self, x: Tensor) -> Tensor:
        return 1 - x

    @in_float32
    def conjunction(self, x: Tensor) -> Tensor:
        return (x.sum(-1) - (x.shape[-1] - 1)).clamp_min(0)

    @in_float32
    def disjunction(self, x: Tensor) -> Tensor:
        return x.sum(-1).clamp_max(1)

    def implication(self, a: Tensor, b: Tensor) -> Tensor:
        return (1 - a + b).clamp_max(1)  # residuum and strong implication are one

    def equivalence(self, x: Tensor) -> Tensor:
        return (self.conjunction(x) + self.conjunction(1 - x)).clamp_max(1)

    def exclusive(self, x: Tensor) -> Tensor:
        return _folded(x, lambda a, b: (a + b).clamp_max(1) - (a + b - 1).clamp_min(0))

    def at_least(self, x: Tensor, k: int) -> Tensor:
        if k == 1:
            return self.disjunction(x)
        return _trivial(x, k <= 0, k > x.shape[-1]) if not 0 < k <= x.shape[-1] else self._largest(x, k)

    def at_most(self, x: Tensor, k: int) -> Tensor:
        n = x.shape[-1]
        return _trivial(x, k >= n, k < 0) if not 0 <= k < n else self._largest(1 - x, n - k)

    def exactly(self, x: Tensor, k: int) -> Tensor:
        return self.conjunction(torch.stack([self.at_least(x, k), self.at_most(x, k)], -1))

    @in_float32
    def _largest(self, x: Tensor, k: int) -> Tensor:
        return (x.topk(k, -1).values.sum(-1) - (k - 1)).clamp_min(0)


@dataclass(frozen=True)
class Godel:
    """The t-norm of minima."""

    implies: Implication = "residuum"

    def negation(self, x: Tensor) -> Tensor:
        return 1 - x

    def conjunction(self, x: Tensor) -> Tensor:
        return x.amin(-1)

    def disjunction(self, x: Tensor) -> Tensor:
        return x.amax(-1)

    def implication(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.where(a <= b, torch.ones_like(b), b) if self.implies == "residuum" else torch.maximum(1 - a, b)

    def equivalence(self, x: Tensor) -> Tensor:
        return torch.maximum(x.amin(-1), (1 - x).amin(-1))

    def exclusive(self, x: Tensor) -> Tensor:
        return _folded(x, lambda a, b: torch.maximum(torch.minimum(a, 1 - b), torch.minimum(1 - a, b)))

    def at_least(self, x: Tensor, k: int) -> Tensor:
        n = x.shape[-1]
        return _trivial(x, k <= 0, k > n) if not 0 < k <= n else x.topk(k, -1).values[..., -1]

    def at_most(self, x: Tensor, k: int) -> Tensor:
        return self.at_least(1 - x, x.shape[-1] - k)

    def exactly(self, x: Tensor, k: int) -> Tensor:
        return torch.minimum(self.at_least(x, k), self.at_most(x, k))


@dataclass(frozen=True)
class Product:
    """The t-norm of products: operands as independent events, except in the residuum."""

    implies: Implication = "residuum"

    def negation(self, x: Tensor) -> Tensor:
        return 1 - x

    @in_float32
    def conjunction(self, x: Tensor) -> Tensor:
        return x.prod(-1)

    @in_float32
    def disjunction(self, x: Tensor) -> Tensor:
        return 1 - (1 - x).prod(-1)

    @in_float32
    def implication(self, a: Tensor, b: Tensor) -> Tensor:
        if self.implies == "strong":
            return 1 - a + a * b
        holds = a <= b
        return torch.where(holds, torch.ones_like(b), b / torch.where(holds, torch.ones_like(a), a))

    @in_float32
    def equivalence(self, x: Tensor) -> Tensor:
        u, v = x.prod(-1), (1 - x).prod(-1)
        return u + v - u * v

    def exclusive(self, x: Tensor) -> Tensor:
        return _folded(x, lambda a, b: a + b - 2 * a * b)

    def at_least(self, x: Tensor, k: int) -> Tensor:
        n = x.shape[-1]
        return _trivial(x, k <= 0, k > n) if not 0 < k <= n else count_distribution(x)[..., k:].sum(-1)

    def at_most(self, x: Tensor, k: int) -> Tensor:
        n = x.shape[-1]
        return _trivial(x, k >= n, k < 0) if not 0 <= k < n else count_distribution(x)[..., : k + 1].sum(-1)

    def exactly(self, x: Tensor, k: int) -> Tensor:
        n = x.shape[-1]
        return _trivial(x, False, True) if not 0 <= k <= n else count_distribution(x)[..., k]


class Boolean:
    """Ordinary logic on tensors of truth values (bool)."""

    def negation(self, x: Tensor) -> Tensor:
        return ~x

    def conjunction(self, x: Tensor) -> Tensor:
        return x.all(-1)

    def disjunction(self, x: Tensor) -> Tensor:
        return x.any(-1)

    def implication(self, a: Tensor, b: Tensor) -> Tensor:
        return ~a | b

    def equivalence(self, x: Tensor) -> Tensor:
        return x.all(-1) | ~x.any(-1)

    def exclusive(self, x: Tensor) -> Tensor:
        return x.sum(-1) % 2 == 1

    def at_least(self, x: Tensor, k: int) -> Tensor:
        return x.sum(-1) >= k

    def at_most(self, x: Tensor, k: int) -> Tensor:
        return x.sum(-1) <= k

    def exactly(self, x: Tensor, k: int) -> Tensor:
        return x.sum(-1) == k


TNorm = Literal["lukasiewicz", "godel", "product"]
TNORMS: dict[str, type[Lukasiewicz] | type[Godel] | type[Product]] = {
    "lukasiewicz": Lukasiewicz,
    "godel": Godel,
    "product": Product,
}


def _folded(x: Tensor, pair: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    result, *rest = x.unbind(-1)
    for each in rest:
        result = pair(result, each)
    return result


def _trivial(x: Tensor, always: bool, never: bool) -> Tensor:
    """A count that does not depend on its operands; the zero keeps it in the graph of those that do."""
    assert always != never
    return x.sum(-1) * 0 + float(always)
