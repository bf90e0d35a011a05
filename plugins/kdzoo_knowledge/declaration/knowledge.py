"""Knowledge as a whole: a vocabulary and rules over it, refused where it contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import TypeVar, get_args

from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.ranges import at_least, between
from kdzoo_knowledge.declaration.consistency import conflict, cycle, torn
from kdzoo_knowledge.declaration.expressions import And, Atom, Expression, ForAll, If, IsA, Not, Or, at_most
from kdzoo_knowledge.declaration.vocabulary import Head, Vocabulary
from kdzoo_knowledge.logic.truth import TNorm
from kdzoo_knowledge.theory import RuleLike, Theory

T = TypeVar("T")
HARD = 100.0
WAYS = 10_000
"""Joint states of the parts of a sum at most, each of which its rule lists."""


@dataclass(frozen=True)
class Rule:
    """A formula that should hold.

    Attributes:
        weight: what its violation counts in losses and rule teachers.
        priority: 0 to 100, as in DomiKnowS: 100 must hold in inference; below, breaking it costs -log(1 - priority / 100).
        tnorm: the t-norm of this rule alone, where it differs from that of the method.

    Raises ValueError for a setting that cannot be, TypeError for a formula that is none.
    """

    name: str
    formula: Expression
    weight: float = 1.0
    priority: float = HARD
    tnorm: TNorm | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.formula, Expression):
            raise TypeError(f"the rule {self.name!r} needs a formula, such as `head.a >> head.b`, got {self.formula!r}")
        if self.weight is None or self.priority is None:
            raise ValueError(f"{'weight' if self.weight is None else 'priority'} must be a number, got None")
        at_least(0, weight=self.weight)
        between(0, 100, priority=self.priority)
        for number in ("weight", "priority"):  # a whole number in a recipe is one of the others, too
            object.__setattr__(self, number, float(getattr(self, number)))
        if self.tnorm is not None and self.tnorm not in get_args(TNorm):
            raise ValueError(f"tnorm is {self.tnorm!r}; {did_you_mean(str(self.tnorm), get_args(TNorm))}")

    @property
    def hard(self) -> bool:
        return self.priority >= HARD


@dataclass(frozen=True)
class Knowledge:
    """Heads, relations and rules.

    >>> fine, coarse = Head("fine", ("boot", "bag")), Head("coarse", ("footwear", "other"))
    >>> known = Knowledge.of(fine, coarse, rules={"boots": fine.boot >> coarse.footwear})
    >>> str(known.rules[0].formula)
    'if(fine.boot, coarse.footwear)'

    Raises:
        RecipeError: a concept that is not there, two rules of one name, hierarchies that go round in a circle, rules that no
            state satisfies; all are named.
    """

    vocabulary: Vocabulary
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        twice = repeated([rule.name for rule in self.rules])
        if twice is not None:
            raise RecipeError(f"knowledge: two rules are called `{twice}`; remove one, or give it another name.")
        for rule in self.rules:
            try:
                for atom in rule.formula.atoms():
                    self.vocabulary.resolve([*([atom.role] if atom.role else []), atom.head, atom.label])
                self.vocabulary.subject(rule.formula.atoms())
            except ValueError as error:
                raise RecipeError(f"knowledge.rules.{rule.name}: {str(error).rstrip('?.')}.") from None
        round_trip = cycle(self.rules)
        if round_trip:
            raise RecipeError(
                f"knowledge: the hierarchy goes round in a circle: {', '.join(f'`{rule.name}`' for rule in round_trip)}; "
                "remove one of these."
            )
        apart = torn(self.rules, self.vocabulary.heads)
        if apart:
            raise RecipeError(
                f"knowledge: {' and '.join(f'`{rule.name}`' for rule in apart)}, of which one can be true at a time, so their "
                "child could never be; remove one of these."
            )
        for theory in self.theories.values():
            at_fault = conflict(theory)
            if at_fault:
                raise RecipeError(
                    f"knowledge: no state satisfies {_together(at_fault)}; change one, or give one a priority below 100."
                )

    @classmethod
    def of(
        cls,
        *heads: Head,
        rules: Mapping[str, Expression] | Sequence[Rule] = (),
        relations: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Knowledge:
        """Knowledge from Python: heads, and rules by name or with their weights."""
        twice = repeated([head.name for head in heads])
        if twice is not None:
            raise RecipeError(f"knowledge: two heads are called `{twice}`; give one another name.")
        made = [Rule(name, formula) for name, formula in rules.items()] if isinstance(rules, Mapping) else rules
        strange = next((rule for rule in made if not isinstance(rule, Rule)), None)
        if strange is not None:
            raise TypeError(f"rules must be a mapping from names to formulas, or a list of Rule(name, formula), got {strange}")
        return cls(Vocabulary({head.name: head for head in heads}, relations or {}), tuple(made))

    @cached_property
    def theories(self) -> Mapping[str, Theory]:
        """The rules about each kind of thing, compiled; only kinds that have rules."""
        return self.compiled()

    def compiled(self) -> dict[str, Theory]:
        """The same, made anew: a module for whoever moves it to a device."""
        about: dict[str, list[Rule]] = {}
        for rule in self.rules:
            about.setdefault(self.vocabulary.subject(rule.formula.atoms()), []).append(rule)
        return {subject: Theory(self.vocabulary.heads, tuple(rules)) for subject, rules in about.items()}


def repeated(values: Sequence[T]) -> T | None:
    """The first value that stands there twice; None if all differ."""
    return next((value for number, value in enumerate(values) if value in values[number + 1 :]), None)


def is_a(child: Atom, parent: Atom) -> Rule:
    """A child is always its parent as well."""
    return Rule(f"{child} is_a {parent}", IsA((child, parent)))


def exclusive(name: str, atoms: Sequence[Expression]) -> Rule:
    """At most one of the atoms. Raises ValueError where one is named twice, which would always be false."""
    twice = repeated(atoms)
    if twice is not None:
        raise ValueError(f"`{twice}` stands twice in one exclusion; name each class once")
    return Rule(name, at_most(1, *atoms))


def sums(whole: Sequence[Atom], parts: Sequence[Sequence[Atom]], name: str) -> Rule:
    """The class of the whole has the number that is the sum of the numbers of the parts' classes.

    Args: whole, parts: the atoms of softmax heads in order of their numbers, from 0.

    Raises ValueError where there are more ways to make a sum than a rule can list.
    """
    ways = prod(len(part) for part in parts)
    if ways > WAYS:
        raise ValueError(f"{name}: the parts have {ways:,} joint states, and a rule lists at most {WAYS:,} of them")
    reached: dict[int, list[Expression]] = {}
    for numbers in product(*(range(len(part)) for part in parts)):
        together = And(tuple(part[number] for part, number in zip(parts, numbers, strict=True)))
        reached.setdefault(sum(numbers), []).append(together)
    known = [If((atom, Or(tuple(reached[number])))) for number, atom in enumerate(whole) if number in reached]
    never = [Not((atom,)) for number, atom in enumerate(whole) if number not in reached]
    beyond = [Not((each,)) for number, each_way in reached.items() if number >= len(whole) for each in each_way]
    return Rule(name, ForAll((*known, *never, *beyond)))


def _together(rules: Sequence[RuleLike]) -> str:
    names = [f"`{rule.name}`" for rule in rules]
    return f"the rule {names[0]}" if len(names) == 1 else f"the rules {', '.join(names[:-1])} and {names[-1]} together"
