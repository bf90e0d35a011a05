"""Whether rules can hold together, and which ones cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from kdzoo_knowledge.declaration.expressions import Atom, Expression, IsA
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.inference.linear import program
from kdzoo_knowledge.inference.solver import feasible
from kdzoo_knowledge.theory import RuleLike, Theory

R = TypeVar("R", bound=RuleLike)


def conflict(theory: Theory) -> Sequence[RuleLike]:
    """Hard rules that cannot hold together, and could without any one of them; empty if all can."""
    rules = [rule for rule in theory.rules if rule.hard]
    if feasible(program(theory, rules)):
        return []
    for rule in list(rules):
        rest = [other for other in rules if other is not rule]
        if not feasible(program(theory, rest)):
            rules = rest
    return rules


def torn(rules: Sequence[RuleLike], heads: Mapping[str, Head]) -> list[RuleLike]:
    """Two is-a rules by which one child has two classes of a softmax head above it, so that it could never be; or none."""
    above: dict[tuple[Expression, str, str], RuleLike] = {}
    for rule in rules:
        if isinstance(rule.formula, IsA):
            child, parent = rule.formula.parts
            assert isinstance(parent, Atom)
            other = above.setdefault((child, parent.role, parent.head), rule)
            if other.formula != rule.formula and not heads[parent.head].binary:
                return [other, rule]
    return []


def cycle(rules: Sequence[R]) -> list[R]:
    """is-a rules that lead from an atom back to itself; empty if there are none."""
    edges: dict[Atom, list[tuple[Atom, R]]] = {}
    for rule in rules:
        if isinstance(rule.formula, IsA):
            child, parent = rule.formula.parts
            assert isinstance(child, Atom)
            assert isinstance(parent, Atom)
            edges.setdefault(child, []).append((parent, rule))
    done: set[Atom] = set()

    def walk(atom: Atom, trail: list[tuple[Atom, R]]) -> list[R]:
        visited = [at for at, _ in trail]
        if atom in visited:
            return [rule for _, rule in trail[visited.index(atom) :]]
        if atom in done:
            return []
        for parent, rule in edges.get(atom, ()):
            found = walk(parent, [*trail, (atom, rule)])
            if found:
                return found
        done.add(atom)
        return []

    return next((found for atom in list(edges) if (found := walk(atom, []))), [])
