"""Rules about one kind of thing, compiled: what stands in which column, and which states there are.

A *variable* is a head on a part of a thing: `("", fine)` or `("first", digit)`. A *literal* is what a variable may say: one
column for each class of a softmax head; two for each class of a binary head, true and false. A *choice* is a set of literals of
which exactly one holds: a softmax head, or one binary class. Rules that share no choice are independent of each other.

Shapes: G groundings (samples, or pairs), L literals, A atoms, K rules, S states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.functional.float32 import in_float32
from kdzoo_knowledge.declaration.expressions import Atom, Expression
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.logic.truth import TNORMS, Boolean, Implication, Logic, TNorm

CHUNK = 2**16
"""States that are looked at in one go."""


class RuleLike(Protocol):
    """What a theory reads of a rule."""

    @property
    def name(self) -> str: ...
    @property
    def formula(self) -> Expression: ...
    @property
    def weight(self) -> float: ...
    @property
    def priority(self) -> float: ...
    @property
    def tnorm(self) -> TNorm | None: ...
    @property
    def hard(self) -> bool: ...


@dataclass(frozen=True)
class Variable:
    """A head on a part of a thing; its literals are the columns from `start` on."""

    role: str
    head: Head
    start: int

    @property
    def width(self) -> int:
        """Literals."""
        return len(self.head.classes) * (1 + self.head.binary)

    @property
    def choices(self) -> list[tuple[int, ...]]:
        """The columns of each choice."""
        n, columns = len(self.head.classes), range(self.start, self.start + self.width)
        return [(columns[i], columns[n + i]) for i in range(n)] if self.head.binary else [tuple(columns)]


class Theory(nn.Module):
    """Rules about one kind of thing.

    Attributes:
        rules: in declared order. variables: those that the rules speak of. atoms: their classes, in order of columns.
        literals: L. positive: (A,) the column in which each atom is true.
    """

    def __init__(self, heads: Mapping[str, Head], rules: Sequence[RuleLike]) -> None:
        super().__init__()
        self.rules = tuple(rules)
        keys = dict.fromkeys((atom.role, atom.head) for rule in rules for atom in rule.formula.atoms())
        self.variables: list[Variable] = []
        start = 0
        for role, name in keys:
            self.variables.append(Variable(role, heads[name], start))
            start += self.variables[-1].width
        self.literals = start
        self.atoms = [Atom(v.head.name, label, v.role) for v in self.variables for label in v.head.classes]
        positive = [v.start + i for v in self.variables for i in range(len(v.head.classes))]
        self.register_buffer("positive", torch.tensor(positive), persistent=False)
        self.column = {atom: number for number, atom in enumerate(self.atoms)}

    positive: Tensor

    @cached_property
    def choices(self) -> list[tuple[int, ...]]:
        """All choices of all variables."""
        return [choice for variable in self.variables for choice in variable.choices]

    # -- truth -------------------------------------------------------------------------------------------------------

    @in_float32
    def log_literals(self, logits: Mapping[tuple[str, str], Tensor]) -> Tensor:
        """(G, L): log-probability of each literal, from the logits (G, classes) of each variable by role and head."""
        parts = []
        for variable in self.variables:
            scores = logits[variable.role, variable.head.name]
            parts += [F.logsigmoid(scores), F.logsigmoid(-scores)] if variable.head.binary else [scores.log_softmax(1)]
        return torch.cat(parts, 1)

    def values(self, atoms: Tensor, logic: Logic, which: Sequence[int] | None = None) -> Tensor:
        """(..., K): truth of the rules (or of those numbered `which`), from that of the atoms (..., A)."""
        rules = self.rules if which is None else [self.rules[number] for number in which]
        found = [rule.formula.truth(lambda atom: atoms[..., self.column[atom]], logic) for rule in rules]
        return torch.stack(found, -1)

    @in_float32
    def degrees(self, atoms: Tensor, tnorm: TNorm, implication: Implication) -> Tensor:
        """(..., K): truth degrees, each rule under its own t-norm if it has one."""
        parts = []
        for number, rule in enumerate(self.rules):
            logic = TNORMS[rule.tnorm or tnorm](implication)
            parts.append(self.values(atoms, logic, [number])[..., 0])
        return torch.stack(parts, -1)

    def holds(self, literals: Tensor) -> Tensor:
        """(..., K) bool: which rules hold where exactly the given literals (..., L) do."""
        return self.values(literals.index_select(-1, self.positive).bool(), Boolean())

    @in_float32
    def truths(self, literals: Tensor) -> Tensor:
        """(G, A): probability of each atom, from the log-probabilities of the literals (G, L)."""
        return literals.index_select(-1, self.positive).exp()

    # -- states ------------------------------------------------------------------------------------------------------

    @cached_property
    def components(self) -> list[Component]:
        """Rules that hang together by shared choices, each with its choices."""
        owner = {column: number for number, choice in enumerate(self.choices) for column in choice}
        found: list[tuple[set[int], list[int]]] = []
        for number, rule in enumerate(self.rules):
            touched = {owner[int(self.positive[self.column[atom]])] for atom in rule.formula.atoms()}
            apart = [other for other in found if not other[0] & touched]
            together = [other for other in found if other[0] & touched]
            numbers = sorted([number, *(n for _, own in together for n in own)])
            found = [*apart, (touched.union(*(choices for choices, _ in together)), numbers)]
        return [
            Component(self, tuple(n), tuple(self.choices[c] for c in sorted(cs))) for cs, n in sorted(found, key=lambda f: f[1])
        ]

    def component(self, *rules: int) -> Component:
        """The rules of these numbers taken together, whether or not they share choices."""
        mine = {int(self.positive[self.column[atom]]) for number in rules for atom in self.rules[number].formula.atoms()}
        return Component(self, rules, tuple(choice for choice in self.choices if mine & set(choice)))


@dataclass(frozen=True)
class Component:
    """Some rules (by number) and the choices that they speak of."""

    theory: Theory
    rules: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Joint states of the choices."""
        return prod(len(choice) for choice in self.choices)

    @property
    def names(self) -> str:
        return ", ".join(f"`{self.theory.rules[number].name}`" for number in self.rules)

    def at_fault(self) -> str:
        """Names of rules that no state satisfies together, none of which could be left out of them; for a contradiction."""
        holds = torch.cat([holds for _, holds in self.states()])
        kept = list(range(len(self.rules)))
        for number in range(len(self.rules)):
            rest = [other for other in kept if other != number]
            if not holds[:, rest].all(1).any():
                kept = rest
        return ", ".join(f"`{self.theory.rules[self.rules[number]].name}`" for number in kept)

    def states(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All states, in pieces: (S, L) float with 1 at what holds, and (S, K') bool, which of these rules hold."""
        for start in range(0, self.size, CHUNK):
            number = torch.arange(start, min(start + CHUNK, self.size))
            literals = torch.zeros(len(number), self.theory.literals)
            for choice in self.choices:
                column = torch.tensor(choice)[number % len(choice)]
                literals.scatter_(1, column[:, None], 1.0)
                number = number // len(choice)
            atoms = literals[:, self.theory.positive].bool()
            yield literals, self.theory.values(atoms, Boolean(), self.rules)

    def models(self, *, hard_only: bool = False) -> Tensor:
        """(S, L): the states in which all of the rules hold, or all hard ones."""
        counted = [not hard_only or self.theory.rules[number].hard for number in self.rules]
        kept = [literals[holds[:, counted].all(1)] for literals, holds in self.states()]
        return torch.cat(kept)
