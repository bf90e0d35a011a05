"""Rules as linear constraints over 0/1 variables, for an integer program.

One variable for each atom, and one for each connective that a rule nests. At the top of a rule the constraint is written
directly (a clause is one row), which keeps the relaxation tight; inside, a variable y stands for a connective, for instance
`y <= x_i, y >= sum x - n + 1` for `and`. A whole hierarchy also gets `sum of the children = parent`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kdzoo_knowledge.declaration import expressions as e
from kdzoo_knowledge.theory import RuleLike, Theory

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True)
class Affine:
    """constant + sum of coefficient * variable, a truth value at every 0/1 point that the constraints allow."""

    terms: dict[int, float]
    constant: float = 0.0

    def __neg__(self) -> Affine:
        """Its negation, 1 - x."""
        return Affine({variable: -value for variable, value in self.terms.items()}, 1 - self.constant)


def total(parts: Sequence[Affine]) -> Affine:
    terms: dict[int, float] = {}
    for part in parts:
        for variable, value in part.terms.items():
            terms[variable] = terms.get(variable, 0.0) + value
    return Affine(terms, sum(part.constant for part in parts))


@dataclass
class Program:
    """min c x subject to low <= M x <= high, x in [0, 1], some whole.

    Attributes:
        atoms: the first variables. whole: of each variable, whether it must be an integer. upper: its bound.
        costs: variable -> what it costs, for rules that may be broken: such a variable is 1 where its rule is.
    """

    atoms: int
    whole: list[bool] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    rows: list[tuple[dict[int, float], float, float]] = field(default_factory=list)
    costs: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.whole, self.upper = [True] * self.atoms, [1.0] * self.atoms

    @property
    def variables(self) -> int:
        return len(self.whole)

    def variable(self, *, whole: bool = False, upper: float = 1.0) -> Affine:
        self.whole.append(whole)
        self.upper.append(upper)
        return Affine({self.variables - 1: 1.0})

    def require(self, expression: Affine, low: float = -np.inf, high: float = np.inf) -> None:
        """low <= expression <= high."""
        self.rows.append((expression.terms, low - expression.constant, high - expression.constant))

    def matrix(self) -> sparse.csr_matrix:
        """(rows, variables)."""
        from scipy import sparse

        values = [(row, column, value) for row, (terms, _, _) in enumerate(self.rows) for column, value in terms.items()]
        row, column, value = zip(*values, strict=True) if values else ((), (), ())
        return sparse.csr_matrix((value, (row, column)), shape=(len(self.rows), self.variables))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the rows."""
        return np.array([low for _, low, _ in self.rows]), np.array([high for _, _, high in self.rows])


def program(theory: Theory, rules: Sequence[RuleLike] | None = None) -> Program:
    """The program of a theory, with all of its rules or with some of them."""
    rules = theory.rules if rules is None else rules
    made = Program(len(theory.atoms))
    first = 0
    for variable in theory.variables:
        width = len(variable.head.classes)
        if not variable.head.binary:
            made.require(Affine(dict.fromkeys(range(first, first + width), 1.0)), 1, 1)
        first += width
    encoder = _Encoder(theory, made)
    for rule in rules:
        if rule.hard:
            encoder.hold(rule.formula)
        else:
            broken = made.variable()
            made.costs[next(iter(broken.terms))] = cost(rule)
            made.require(total([encoder.value(rule.formula), broken]), low=1)
    for children, parent in hierarchies(theory, [rule for rule in rules if rule.hard]):
        made.require(total([encoder.value(child) for child in children] + [_scaled(encoder.value(parent), -1)]), 0, 0)
    return made


def hierarchies(theory: Theory, rules: Sequence[RuleLike]) -> list[tuple[list[e.Atom], e.Atom]]:
    """The children of each parent, for hierarchies that give every class of a softmax head one parent in another one."""
    parents: dict[e.Atom, e.Atom] = {}
    for rule in rules:
        match rule.formula:
            case e.If(parts=(e.Atom() as child, e.Atom() as parent)) if child not in parents:
                parents[child] = parent
    heads = {(variable.role, variable.head.name): variable.head for variable in theory.variables}
    found = []
    for (role, name), head in heads.items():
        above = [parents.get(e.Atom(name, label, role)) for label in head.classes]
        if head.binary or None in above:
            continue
        targets = {(atom.role, atom.head) for atom in above if atom is not None}
        if len(targets) == 1 and not heads[next(iter(targets))].binary:
            (target,) = targets
            for label in heads[target].classes:
                parent = e.Atom(target[1], label, target[0])
                children = [e.Atom(name, own, role) for own, up in zip(head.classes, above, strict=True) if up == parent]
                found.append((children, parent))
    return found


def cost(rule: RuleLike) -> float:
    """What breaking a rule costs in inference, as log-probability: -log(1 - priority / 100); a hard one, infinity."""
    return float("inf") if rule.hard else -math.log1p(-rule.priority / 100)


class _Encoder:
    """Adds a formula to a program: as something that must hold, or as a variable."""

    def __init__(self, theory: Theory, made: Program) -> None:
        self.theory, self.program = theory, made

    def hold(self, formula: e.Expression) -> None:
        """The formula must be true."""
        match formula:
            case e.And() | e.ForAll():
                for part in formula.parts:
                    self.hold(part)
            case e.AtLeast():
                self.program.require(self._sum(formula), low=formula.k)
            case e.AtMost():
                self.program.require(self._sum(formula), high=formula.k)
            case e.Exactly():
                self.program.require(self._sum(formula), formula.k, formula.k)
            case e.If(parts=(e.Or() | e.Exists() as several, then)):
                for each in several.parts:
                    self.hold(e.If((each, then)))
            case e.Or() | e.Exists() | e.If():
                self.program.require(total(self._clause(formula)), low=1)
            case e.Not(parts=(e.Or() | e.Exists() as several,)):
                for each in several.parts:
                    self.hold(e.Not((each,)))
            case _:
                self.program.require(self.value(formula), 1, 1)

    def _clause(self, formula: e.Expression) -> list[Affine]:
        """Truth values of which one must be 1 for the formula to hold."""
        match formula:
            case e.Or() | e.Exists():
                return [value for part in formula.parts for value in self._clause(part)]
            case e.If(parts=(condition, then)):
                return [*self._clause(e.Not((condition,))), *self._clause(then)]
            case e.Not(parts=(e.And() | e.ForAll() as several,)):
                return [value for part in several.parts for value in self._clause(e.Not((part,)))]
            case _:
                return [self.value(formula)]

    def value(self, formula: e.Expression) -> Affine:
        """The formula's truth value."""
        match formula:
            case e.Atom():
                return Affine({self.theory.column[formula]: 1.0})
            case e.Not(parts=(part,)):
                return -self.value(part)
            case e.And() | e.ForAll():
                return self._and([self.value(part) for part in formula.parts])
            case e.Or() | e.Exists():
                return self._or([self.value(part) for part in formula.parts])
            case e.If(parts=(condition, then)):
                return self._or([-self.value(condition), self.value(then)])
            case e.Iff():
                parts = [self.value(part) for part in formula.parts]
                return total([self._and(parts), self._and([-part for part in parts])]) if len(parts) > 1 else Affine({}, 1.0)
            case e.Xor():
                return self._odd([self.value(part) for part in formula.parts])
            case e.AtLeast():
                return self._at_least([self.value(part) for part in formula.parts], formula.k)
            case e.AtMost():
                return -self._at_least([self.value(part) for part in formula.parts], formula.k + 1)
            case e.Exactly():
                parts = [self.value(part) for part in formula.parts]
                return self._and([self._at_least(parts, formula.k), -self._at_least(parts, formula.k + 1)])
        raise AssertionError(f"no encoding of {type(formula).__name__}")

    def _sum(self, formula: e.Operation) -> Affine:
        return total([self.value(part) for part in formula.parts])

    def _and(self, parts: list[Affine]) -> Affine:
        if len(parts) == 1:
            return parts[0]
        y = self.program.variable()
        for part in parts:
            self.program.require(total([part, _scaled(y, -1)]), low=0)
        self.program.require(total([y, *(_scaled(part, -1) for part in parts)]), low=1 - len(parts))
        return y

    def _or(self, parts: list[Affine]) -> Affine:
        return -self._and([-part for part in parts])

    def _odd(self, parts: list[Affine]) -> Affine:
        """sum = 2 * half + y."""
        y, half = self.program.variable(whole=True), self.program.variable(whole=True, upper=len(parts) // 2)
        self.program.require(total([*parts, _scaled(y, -1), _scaled(half, -2)]), 0, 0)
        return y

    def _at_least(self, parts: list[Affine], k: int) -> Affine:
        n = len(parts)
        if not 0 < k <= n:
            return Affine({}, float(k <= 0))
        y, count = self.program.variable(whole=True), total(parts)
        self.program.require(total([count, _scaled(y, -k)]), low=0)
        self.program.require(total([count, _scaled(y, -(n - k + 1))]), high=k - 1)
        return y


def _scaled(expression: Affine, factor: float) -> Affine:
    return Affine({v: factor * c for v, c in expression.terms.items()}, factor * expression.constant)
