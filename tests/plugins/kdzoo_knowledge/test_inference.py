"""Integer programs against brute force, on formulas of every kind."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kdzoo_knowledge.declaration.expressions import Expression, operation
from kdzoo_knowledge.declaration.knowledge import Rule, is_a
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.exact import States
from kdzoo_knowledge.inference import cp_sat
from kdzoo_knowledge.inference.linear import cost, hierarchies, program
from kdzoo_knowledge.inference.most_probable import MostProbable, SolverTimeWarning, likeliest
from kdzoo_knowledge.inference.solver import feasible, maximized
from kdzoo_knowledge.logic.truth import Boolean
from kdzoo_knowledge.theory import Theory
from knowledge_formulas import FORMULAS, HEADS

from kdzoo.errors import MissingError


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


FINE, COARSE = Head("fine", ("a", "b", "c")), Head("coarse", ("x", "y"))
PARENTS = [is_a(FINE.a, COARSE.x), is_a(FINE.b, COARSE.y), is_a(FINE.c, COARSE.y)]


def random_literals(theory: Theory, rows: int = 20) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    logits = {("", v.head.name): torch.randn(rows, len(v.head.classes), generator=draws) for v in theory.variables}
    return theory.log_literals(logits)


def test_inference_in_one_hierarchy_is_its_closed_form() -> None:
    theory = Theory({"fine": FINE, "coarse": COARSE}, PARENTS)
    literals = random_literals(theory)
    made = MostProbable(theory, how="exact")
    assert len(made.parts[0].get_buffer("states")) == 3
    best = (literals[:, :3] + literals[:, 3:][:, [0, 1, 1]]).argmax(1)
    assert torch.equal(made(literals).literals[:, :3].argmax(1), best)
    assert theory.holds(made(literals).literals).all()


def test_cp_sat_finds_what_milp_finds() -> None:
    pytest.importorskip("ortools")
    bits = HEADS["bits"]
    soft = Rule("few", operation("at_most", bits.atoms, 2), priority=80.0)
    hard = Rule("odd", operation("xor", bits.atoms[:3]))
    theory = Theory({**HEADS, "fine": FINE, "coarse": COARSE}, [*PARENTS, soft, hard])
    literals = random_literals(theory)
    found = {how: MostProbable(theory, how=how)(literals) for how in ("exact", "milp", "cp_sat")}
    for how in ("milp", "cp_sat"):
        assert torch.equal(found[how].literals, found["exact"].literals), how
        assert not found[how].fallbacks


def test_cp_sat_without_or_tools_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cp_sat, "find_spec", lambda name: None)
    theory = Theory({"fine": FINE, "coarse": COARSE}, PARENTS)
    with pytest.raises(MissingError, match=r"task.inference: cp_sat needs OR-tools; install it by `pip install .*solvers"):
        MostProbable(theory, how="cp_sat", owner="task.inference")


def hard_to_solve() -> Theory:
    bits = Head("bits", tuple(f"b{i}" for i in range(60)), binary=True)
    draws = torch.Generator().manual_seed(0)
    chosen = [torch.randperm(60, generator=draws)[:12].tolist() for _ in range(40)]
    rules = [
        Rule(f"r{n}", operation("exactly", tuple(bits[i] for i in some), 5), priority=70.0) for n, some in enumerate(chosen)
    ]
    return Theory({"bits": bits}, rules)


def test_time_that_is_up_makes_nothing_up() -> None:
    weights = torch.rand(2, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    solved = maximized(program(hard_to_solve()), weights.numpy(), time_limit=1e-3)
    assert not solved.optimal.any()
    assert not solved.values.any()


def test_time_that_is_up_is_said_once_and_counted() -> None:
    theory = hard_to_solve()
    literals = random_literals(theory, rows=2)
    inference = MostProbable(theory, how="milp", time_limit=1e-3, owner="task.inference")
    with pytest.warns(
        SolverTimeWarning, match=r"task.inference: the solver proved no optimum for 2 samples within 0.001 sec"
    ) as said:
        found = [inference(literals) for _ in range(2)]
    assert len(said) == 1
    assert [each.fallbacks for each in found] == [2, 2]
    assert torch.equal(found[0].literals, likeliest(theory, literals))
