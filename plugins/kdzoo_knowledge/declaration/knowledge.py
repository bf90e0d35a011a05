"""Knowledge as a whole: a vocabulary and rules over it, refused where it contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from kdzoo.errors import RecipeError
from kdzoo_knowledge.declaration.consistency import conflict, cycle
from kdzoo_knowledge.declaration.expressions import And, Atom, Expression, ForAll, If, IsA, Not, Or, at_most
from kdzoo_knowledge.declaration.vocabulary import Head, Vocabulary
from kdzoo_knowledge.logic.truth import TNorm
from kdzoo_knowledge.theory import RuleLike, Theory

HARD = 100.0


@dataclass(frozen=True)
class Rule:
    """A formula that should hold.

    Attributes:
        weight: what its violation counts in losses and rule teachers.
        priority: 0 to 100, as in DomiKnowS: 100 must hold in inference; below, breaking it costs -log(1 - priority / 100).
        tnorm: the t-norm of this rule alone, where it differs from that of the method.
    """

    name: str
    formula: Expression
    weight: float = 1.0
    priority: float = HARD
    tnorm: TNorm | None = None

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
        RecipeError: hierarchies that go round in a circle, rules that no state satisfies; both are named.
    """

    vocabulary: Vocabulary
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        for rule in self.rules:
            try:
                self.vocabulary.subject(rule.formula.atoms())
            except ValueError as error:
                raise RecipeError(f"knowledge.rules.{rule.name}: {error}.") from None
        round_trip = cycle(self.rules)
        if round_trip:
            raise RecipeError(
                f"knowledge: the hierarchy goes round in a circle: {', '.join(f'`{rule.name}`' for rule in round_trip)}; "
                "remove one of these."
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
        made = [Rule(name, formula) for name, formula in rules.items()] if isinstance(rules, Mapping) else rules
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


def is_a(child: Atom, parent: Atom) -> Rule:
    """A child is always its parent as well."""
    return Rule(f"{child} is_a {parent}", IsA((child, parent)))


def exclusive(name: str, atoms: Sequence[Expression]) -> Rule:
    """At most one of the atoms."""
    return Rule(name, at_most(1, *atoms))


def sums(whole: Sequence[Atom], parts: Sequence[Sequence[Atom]], name: str) -> Rule:
    """The class of the whole has the number that is the sum of the numbers of the parts' classes.

    Args: whole, parts: the atoms of softmax heads in order of their numbers, from 0.
    """
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
