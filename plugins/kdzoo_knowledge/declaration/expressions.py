"""Formulas over concepts, as trees. Python's operators build them, and they read like what a recipe writes.

    recipe                                   Python
    not a                                    ~a
    a and b, a or b, a xor b                 a & b, a | b, a ^ b
    if(a, b), a -> b                         a >> b
    iff(a, b), a <-> b                       iff(a, b)
    at_least(2, a, b, c), at_most, exactly   at_least(2, a, b, c), at_most, exactly
    exists(a, b), for_all(a, b)              exists(a, b), for_all(a, b)

`str` of a formula is its recipe form; parsing that gives the formula back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from kdzoo_knowledge.logic.truth import Logic


@dataclass(frozen=True)
class Expression:
    """A formula. `parts` are its operands, in order."""

    def __invert__(self) -> Not:
        return Not((self,))

    def __and__(self, other: Expression) -> And:
        return And((*_flat(self, And), *_flat(other, And)))

    def __or__(self, other: Expression) -> Or:
        return Or((*_flat(self, Or), *_flat(other, Or)))

    def __xor__(self, other: Expression) -> Xor:
        return Xor((*_flat(self, Xor), *_flat(other, Xor)))

    def __rshift__(self, other: Expression) -> If:
        return If((self, other))

    def __bool__(self) -> bool:
        raise TypeError("a formula has no truth value of its own: combine formulas by & | ^ ~ >>, not by and, or, not")

    def truth(self, value: Callable[[Atom], Tensor], logic: Logic) -> Tensor:
        """The formula's truth, given that of each atom, as tensors of one shape."""
        raise NotImplementedError

    def atoms(self) -> Iterator[Atom]:
        """Its atoms, from left to right, with repetitions."""
        raise NotImplementedError


@dataclass(frozen=True)
class Atom(Expression):
    """A class of a head, or a binary concept; with a role, that of the grounding's part of this name."""

    head: str
    label: str
    role: str = ""

    def truth(self, value: Callable[[Atom], Tensor], logic: Logic) -> Tensor:
        return value(self)

    def atoms(self) -> Iterator[Atom]:
        yield self

    def __str__(self) -> str:
        return ".".join(filter(None, (self.role, self.head, self.label)))


@dataclass(frozen=True)
class Operation(Expression):
    """A connective with its operands."""

    parts: tuple[Expression, ...]
    name: ClassVar[str]
    operands: ClassVar[tuple[int, int | None]] = (1, None)
    """The fewest and the most operands that it takes."""

    def __post_init__(self) -> None:
        strange = next((part for part in self.parts if not isinstance(part, Expression)), None)
        if strange is not None:
            raise TypeError(f"{self.name} combines formulas, such as `head.label`; {strange!r} is none")

    def truth(self, value: Callable[[Atom], Tensor], logic: Logic) -> Tensor:
        return self.combined([part.truth(value, logic) for part in self.parts], logic)

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        """The connective on the truth of its operands."""
        raise NotImplementedError

    def atoms(self) -> Iterator[Atom]:
        for part in self.parts:
            yield from part.atoms()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parts))})"


class Not(Operation):
    name = "not"
    operands = (1, 1)

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.negation(values[0])


class And(Operation):
    name = "and"

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.conjunction(torch.stack(values, -1))


class Or(Operation):
    name = "or"

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.disjunction(torch.stack(values, -1))


class Xor(Operation):
    name = "xor"
    operands = (2, None)

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.exclusive(torch.stack(values, -1))


class If(Operation):
    name = "if"
    operands = (2, 2)

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.implication(values[0], values[1])


class IsA(If):
    """An implication between two atoms that belongs to a hierarchy: the child is always its parent as well."""


class Iff(Operation):
    name = "iff"
    operands = (2, None)

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.equivalence(torch.stack(values, -1))


class Exists(Operation):
    """At least one; under every t-norm the same as `or`."""

    name = "exists"

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.disjunction(torch.stack(values, -1))


class ForAll(Operation):
    """All of them; the same as `and`."""

    name = "for_all"

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.conjunction(torch.stack(values, -1))


@dataclass(frozen=True)
class Count(Operation):
    """A count of operands that hold, compared with k."""

    k: int = 0

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, (self.k, *self.parts)))})"


class AtLeast(Count):
    name = "at_least"

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.at_least(torch.stack(values, -1), self.k)


class AtMost(Count):
    name = "at_most"

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.at_most(torch.stack(values, -1), self.k)


class Exactly(Count):
    name = "exactly"

    def combined(self, values: list[Tensor], logic: Logic) -> Tensor:
        return logic.exactly(torch.stack(values, -1), self.k)


OPERATIONS: dict[str, type[Operation]] = {
    kind.name: kind for kind in (Not, And, Or, Xor, If, Iff, Exists, ForAll, AtLeast, AtMost, Exactly)
}


def operation(name: str, parts: tuple[Expression, ...], k: int | None = None) -> Operation:
    """A connective by name. Raises ValueError for a wrong number of operands or a k out of range."""
    kind = OPERATIONS[name]
    fewest, most = kind.operands
    if len(parts) < fewest or (most is not None and len(parts) > most):
        wanted = f"{fewest}" if fewest == most else f"at least {fewest}"
        raise ValueError(f"{name} takes {wanted} operand{'s' if fewest != 1 else ''}, got {len(parts)}")
    if not issubclass(kind, Count):
        return kind(parts)
    if not isinstance(k, int) or isinstance(k, bool):
        raise ValueError(f"{name} needs a number first, as in {name}(1, ...)")
    if not 0 <= k <= len(parts):
        raise ValueError(f"{name} counts {len(parts)} operands, so its number must be 0 to {len(parts)}, got {k}")
    return kind(parts, k)


def iff(*parts: Expression) -> Operation:
    """All of them or none of them."""
    return operation("iff", parts)


def exists(*parts: Expression) -> Operation:
    """At least one of them."""
    return operation("exists", parts)


def for_all(*parts: Expression) -> Operation:
    """All of them."""
    return operation("for_all", parts)


def at_least(k: int, *parts: Expression) -> Operation:
    """At least k of them."""
    return operation("at_least", parts, k)


def at_most(k: int, *parts: Expression) -> Operation:
    """At most k of them."""
    return operation("at_most", parts, k)


def exactly(k: int, *parts: Expression) -> Operation:
    """Exactly k of them."""
    return operation("exactly", parts, k)


def _flat(formula: Expression, kind: type[Operation]) -> tuple[Expression, ...]:
    """a & b & c is one `and` of three."""
    return formula.parts if type(formula) is kind else (formula,)
