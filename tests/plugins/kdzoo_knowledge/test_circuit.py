"""Circuits against enumeration and closed forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kdzoo_knowledge import circuit, exact
from kdzoo_knowledge.circuit import Circuit
from kdzoo_knowledge.declaration.expressions import Expression, at_least, exactly
from kdzoo_knowledge.declaration.knowledge import Rule
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.exact import Counted, Satisfying, satisfaction
from kdzoo_knowledge.theory import Theory
from knowledge_formulas import FORMULAS, HEADS
from torch import Tensor

from kdzoo.errors import RecipeError

pytest.importorskip("pysdd")
MANY = Head("many", tuple(f"t{i}" for i in range(30)), binary=True)


def literals(theory: Theory, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    logits = {
        (v.role, v.head.name): torch.randn(3, len(v.head.classes), generator=draws, dtype=torch.float64)
        for v in theory.variables
    }
    return theory.log_literals(logits)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(FORMULAS, min_size=1, max_size=3), st.integers(0, 2**31))
def test_a_circuit_is_as_probable_as_the_states_that_satisfy_it(formulas: list[Expression], seed: int) -> None:
    theory = Theory(HEADS, [Rule(f"r{number}", formula) for number, formula in enumerate(formulas)])
    component = theory.component(*range(len(formulas)))
    if not len(component.models()):
        with pytest.raises(RecipeError, match="no state satisfies"):
            Circuit(component, "test")
        return
    given_ = literals(theory, seed)
    torch.testing.assert_close(Circuit(component, "test")(given_), Satisfying(component, "test")(given_))


def test_its_gradient_is_that_of_enumeration() -> None:
    rules = [Rule("some", at_least(2, *MANY.atoms[:4])), Rule("if", MANY[0] >> MANY[5])]
    theory = Theory({"many": MANY}, rules)
    component, gradients = theory.component(0, 1), []
    for made in (Circuit(component, "test"), Satisfying(component, "test")):
        z = torch.linspace(-2, 2, 60, dtype=torch.float64).view(2, 30).requires_grad_()
        gradients.append(torch.autograd.grad(made(theory.log_literals({("", "many"): z})).sum(), z)[0])
    torch.testing.assert_close(*gradients)


def test_more_states_than_can_be_enumerated_are_compiled() -> None:
    count = exactly(3, *MANY.atoms)
    one, both = (
        Theory({"many": MANY}, [Rule("three", count)]),
        Theory({"many": MANY}, [Rule("three", count), Rule("same", count)]),
    )
    assert both.component(0, 1).size > exact.STATES
    made = satisfaction(both.component(0, 1), "test")
    assert isinstance(made, Circuit)
    torch.testing.assert_close(made(literals(both)), Counted(one.component(0))(literals(one)))


def test_too_large_a_circuit_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit, "SIZE", 10)
    component = Theory({"many": MANY}, [Rule("three", exactly(3, *MANY.atoms))]).component(0)
    with pytest.raises(RecipeError, match=r"test: a circuit of `three` has more than 10 elements; use sampling"):
        Circuit(component, "test")
