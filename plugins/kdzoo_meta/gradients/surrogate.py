"""The number whose gradient for the teacher is the meta-gradient.

With o the student's answers and q the methods' own parameters, both functions of the student's parameters theta:

    M(phi) = <d total / d o, do> + <d total / d q, dq>,     do, dq: derivatives along w, constants

equals <d total / d theta, w>, so dM/dphi is the exact meta-gradient. Second-order differentiation happens only inside `total`,
on tensors of the size of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from kdzoo_meta.gradients.vectors import Vector, floats, with_floats

T = TypeVar("T")


@dataclass(frozen=True)
class Surrogate:
    """M with its graph, and where the graph is cut: the answers' `floats`, the slopes d total / d o there, the parameters q.

    After `value.backward()` the `.grad` of `cut` and `params` is the Hessian of `total` in (o, q) times (do, dq).
    """

    value: Tensor
    cut: Sequence[Tensor]
    slopes: Sequence[Tensor | None]
    params: Vector


def surrogate(
    total: Callable[[T, Vector], Tensor], answers: T, tangents: Sequence[Tensor | None], params: Vector, along: Vector
) -> Surrogate:
    """M of the loss `total`, a function of the answers and the methods' parameters.

    Args:
        tangents: how each of the answers' `floats` changes along w; along: how `params` do, by name.
    """
    # A tapped feature may be the very tensor of the logits: each place gets an alias of its own.
    cut = [t.detach().requires_grad_() for t in floats(answers)]
    params = {name: p.detach().requires_grad_() for name, p in params.items()}
    value = total(with_floats(answers, cut), params)
    slopes = torch.autograd.grad(value, [*cut, *params.values()], create_graph=True, allow_unused=True)
    moves = [*tangents, *(along[name] for name in params)]
    products = [(s * m).sum(dtype=value.dtype) for s, m in zip(slopes, moves, strict=True) if s is not None and m is not None]
    return Surrogate(torch.stack(products).sum() if products else value.new_zeros(()), cut, slopes[: len(cut)], params)
