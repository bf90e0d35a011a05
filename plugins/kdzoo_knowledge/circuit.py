"""Formulas compiled to circuits: the exact probability of rules whose states are too many to enumerate.

Darwiche, "SDD: A New Canonical Representation of Propositional Knowledge Bases", IJCAI 2011; Xu et al., ICML 2018 (arXiv
1711.11157) compute the semantic loss on it. PySDD compiles (`pip install kdzoo[circuits]`); the circuit is then evaluated here,
level by level, on all groundings at once. A circuit's size depends on the rules and can still be too large.

A class of a softmax head is a variable of the circuit, and that exactly one is true is part of the formula. Its negation weighs
1: each model of the formula sets every variable, so that nothing has to be smoothed. Of a binary class both literals have their
own probability. Shapes: literals (G, L), N nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.errors import RecipeError
from kdzoo_knowledge.declaration import expressions as e
from kdzoo_knowledge.logic.weighted import FLOOR
from kdzoo_knowledge.theory import Component

SIZE = 500_000
"""Elements of a circuit at most."""
FALSE, TRUE, FIRST = 0, 1, 2
"""Columns of the constants; the literals follow."""


def available() -> bool:
    """Whether PySDD is installed."""
    return find_spec("pysdd") is not None


class Circuit(nn.Module):
    """The log-probability (G,) that a component's rules hold. Raises RecipeError where they never do or it is too large."""

    def __init__(self, component: Component, owner: str) -> None:
        super().__init__()
        compiler = _Compiler(component)
        root = compiler.root(owner)
        if root.is_false():
            raise RecipeError(
                f"{owner}: no state satisfies {component.names}, so their probability is 0 whatever the model says."
            )
        levels, self.result = _levels(root, compiler.columns, FIRST + component.theory.literals)
        self.levels = len(levels)
        for number, (primes, subs) in enumerate(levels):
            self.register_buffer(f"primes{number}", primes, persistent=False)
            self.register_buffer(f"subs{number}", subs, persistent=False)

    def forward(self, literals: Tensor) -> Tensor:
        """(G,) from log-probabilities of literals (G, L)."""
        constants = literals.new_tensor([-torch.inf, 0.0]).expand(len(literals), 2)
        values = torch.cat([constants, literals.clamp_min(FLOOR)], 1)
        for number in range(self.levels):
            primes, subs = self.get_buffer(f"primes{number}"), self.get_buffer(f"subs{number}")  # (nodes, elements)
            products = values[:, primes] + values[:, subs]
            values = torch.cat([values, products.logsumexp(2)], 1)
        return values[:, self.result]


class _Compiler:
    """Makes nodes of PySDD of formulas. `columns`: signed variable -> column of the value of that literal."""

    def __init__(self, component: Component) -> None:
        from pysdd.sdd import SddManager

        self.component, theory = component, component.theory
        self.columns: dict[int, int] = {}
        self.variable: dict[int, int] = {}  # column of a literal -> variable
        positive = {int(column) for column in theory.positive}
        for choice in component.choices:
            true = [column for column in choice if column in positive]
            for column in true:
                self.variable[column] = len(self.variable) + 1
                others = [other for other in choice if other not in positive]
                self.columns[self.variable[column]] = FIRST + column
                self.columns[-self.variable[column]] = FIRST + others[0] if others else TRUE
        self.manager: Any = SddManager(var_count=len(self.variable))

    def root(self, owner: str) -> Any:
        theory, node = self.component.theory, self.manager.true()
        classes = [
            [self.manager.literal(self.variable[c]) for c in choice if c in self.variable] for choice in self.component.choices
        ]
        parts = [self._exactly(own, 1) for own in classes if len(own) > 1]
        parts += [self.node(theory.rules[number].formula) for number in self.component.rules]
        for part in parts:
            node = node & part
            if node.size() > SIZE:
                raise RecipeError(
                    f"{owner}: a circuit of {self.component.names} has more than {SIZE:,} elements; use sampling "
                    "(constraint_sampling) or a t-norm (tnorm_constraint) instead, or split these rules."
                )
        return node

    def node(self, formula: e.Expression) -> Any:
        match formula:
            case e.Atom():
                theory = self.component.theory
                return self.manager.literal(self.variable[int(theory.positive[theory.column[formula]])])
            case e.Operation():
                return self._operation(formula, [self.node(part) for part in formula.parts])
        raise AssertionError(f"no circuit of {type(formula).__name__}")

    def _operation(self, formula: e.Operation, parts: Sequence[Any]) -> Any:
        match formula:
            case e.Not():
                return ~parts[0]
            case e.And() | e.ForAll():
                return self._all(parts)
            case e.Or() | e.Exists():
                return ~self._all([~part for part in parts])
            case e.If():
                return ~parts[0] | parts[1]
            case e.Iff():
                return self._all(parts) | self._all([~part for part in parts])
            case e.Xor():
                return reduce(lambda a, b: (a & ~b) | (~a & b), parts)
            case e.AtLeast():
                return self._any(self._counts(parts, formula.k)[formula.k :])
            case e.AtMost():
                return self._any(self._counts(parts, formula.k + 1)[: formula.k + 1])
            case e.Exactly():
                return self._exactly(parts, formula.k)
        raise AssertionError(f"no circuit of {type(formula).__name__}")

    def _all(self, parts: Sequence[Any]) -> Any:
        return reduce(lambda a, b: a & b, parts, self.manager.true())

    def _any(self, parts: Sequence[Any]) -> Any:
        return reduce(lambda a, b: a | b, parts, self.manager.false())

    def _exactly(self, parts: Sequence[Any], k: int) -> Any:
        return self._counts(parts, k + 1)[k]

    def _counts(self, parts: Sequence[Any], most: int) -> list[Any]:
        """Nodes for "0, 1, ..., most - 1, and most or more of them hold"."""
        counts = [self.manager.true()] + [self.manager.false()] * most
        for part in parts:
            stay = [count & ~part for count in counts[:-1]] + [counts[-1]]
            rise = [self.manager.false()] + [count & part for count in counts[:-1]]
            counts = [a | b for a, b in zip(stay, rise, strict=True)]
        return counts


def _levels(root: Any, columns: dict[int, int], start: int) -> tuple[list[tuple[Tensor, Tensor]], int]:
    """Decisions from the leaves up, as columns (nodes, elements) of their primes and subs, and the root's column."""
    depth: dict[int, int] = {}
    elements: dict[int, list[tuple[Any, Any]]] = {}
    waiting = [root]
    while waiting:
        node = waiting[-1]
        if node.id in depth or not node.is_decision():
            depth.setdefault(node.id, 0)
            waiting.pop()
            continue
        own = elements.setdefault(node.id, [pair for pair in node.elements() if not pair[1].is_false()])
        below = [child for pair in own for child in pair if child.id not in depth]
        if below:
            waiting += below
        else:
            depth[node.id] = 1 + max(depth[child.id] for pair in own for child in pair)
            waiting.pop()
    place: dict[int, int] = {}

    def column(node: Any) -> int:
        if node.is_true() or node.is_false():
            return TRUE if node.is_true() else FALSE
        return columns[node.literal] if node.is_literal() else place[node.id]

    levels = []
    for level in range(1, max(depth.values()) + 1):
        mine = [number for number in elements if depth[number] == level]
        widest = max(len(elements[number]) for number in mine)
        pairs = [
            [(column(p), column(s)) for p, s in elements[n]] + [(FALSE, FALSE)] * (widest - len(elements[n])) for n in mine
        ]
        both = torch.tensor(pairs)
        levels.append((both[..., 0], both[..., 1]))
        place |= {number: start + i for i, number in enumerate(mine)}
        start += len(mine)
    return levels, column(root)
