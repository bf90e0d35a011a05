"""Integer programs against brute force, on formulas of every kind."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kdzoo_knowledge.declaration.expressions import OPERATIONS, Count, Expression, operation
from kdzoo_knowledge.declaration.knowledge import Rule, is_a
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.exact import States
from kdzoo_knowledge.inference.linear import cost, hierarchies, program
from kdzoo_knowledge.inference.solver import feasible, maximized
from kdzoo_knowledge.logic.truth import Boolean
from kdzoo_knowledge.theory import Theory

BITS = Head("bits", tuple(f"b{i}" for i in range(5)), binary=True)
KIND = Head("kind", ("x", "y", "z"))
HEADS = {head.name: head for head in (BITS, KIND)}
ATOMS = st.sampled_from([*BITS.atoms, *KIND.atoms])


@st.composite
def operations(draw: st.DrawFn, parts: st.SearchStrategy[Expression]) -> Expression:
    name = draw(st.sampled_from(sorted(OPERATIONS)))
    fewest, most = OPERATIONS[name].operands
    operands = draw(st.lists(parts, min_size=fewest, max_size=most or 4))
    k = draw(st.integers(0, len(operands))) if issubclass(OPERATIONS[name], Count) else None
    return operation(name, tuple(operands), k)


FORMULAS = st.recursive(ATOMS, operations, max_leaves=6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(FORMULAS, min_size=1, max_size=3), st.integers(0, 2**31), st.sampled_from([100.0, 60.0]))
def test_integer_programs_find_what_brute_force_finds(formulas: list[Expression], seed: int, priority: float) -> None:
    rules = [Rule(f"r{i}", formula, priority=priority if i else 100.0) for i, formula in enumerate(formulas)]
    theory = Theory(HEADS, rules)
    component = theory.component(*range(len(rules)))
    possible = component.models(hard_only=True)
    made = program(theory)
    assert feasible(made) == bool(len(possible))
    if not len(possible):
        return
    weights = torch.randn(3, theory.literals, generator=torch.Generator().manual_seed(seed))
    for choice in {choice for choice in theory.choices if choice not in component.choices}:
        weights[:, list(choice)] = 0  # rules do not speak of it
    binary = torch.zeros(theory.literals, dtype=torch.bool)
    for variable in theory.variables:
        binary[variable.start + len(variable.head.classes) : variable.start + variable.width] = True
    weights[:, binary] = 0  # a false concept weighs nothing
    costs = torch.tensor([cost(rule) for rule in rules])
    best = States(component, "test").most_probable(weights, costs)
    solved = maximized(made, weights[:, theory.positive].double().numpy())
    assert solved.optimal.all()
    values = torch.from_numpy(solved.values).float()

    def objective(literals: torch.Tensor) -> torch.Tensor:
        broken = ~theory.values(literals[:, theory.positive].bool(), Boolean())
        assert not broken[:, [rule.hard for rule in rules]].any()
        return (weights * literals).sum(1) - torch.where(broken, costs, 0).sum(1)

    chosen = torch.zeros_like(weights).index_copy(1, theory.positive, values)
    torch.testing.assert_close(objective(chosen), objective(best), rtol=1e-4, atol=1e-4)


def test_a_hierarchy_is_written_as_sums_of_children() -> None:
    fine, coarse = Head("fine", ("a", "b", "c")), Head("coarse", ("x", "y"))
    rules = [is_a(fine.a, coarse.x), is_a(fine.b, coarse.y), is_a(fine.c, coarse.y)]
    theory = Theory({"fine": fine, "coarse": coarse}, rules)
    assert hierarchies(theory, rules) == [([fine.a], coarse.x), ([fine.b, fine.c], coarse.y)]
    assert hierarchies(theory, rules[:2]) == []


def test_time_that_is_up_is_said_and_nothing_is_made_up() -> None:
    bits = Head("bits", tuple(f"b{i}" for i in range(60)), binary=True)
    draws = torch.Generator().manual_seed(0)
    chosen = [torch.randperm(60, generator=draws)[:12].tolist() for _ in range(40)]
    rules = [
        Rule(f"r{n}", operation("exactly", tuple(bits[i] for i in some), 5), priority=70.0) for n, some in enumerate(chosen)
    ]
    theory = Theory({"bits": bits}, rules)
    weights = torch.rand(2, 60, generator=draws, dtype=torch.float64)
    solved = maximized(program(theory), weights.numpy(), time_limit=1e-3)
    assert not solved.optimal.any()
    assert not solved.values.any()
