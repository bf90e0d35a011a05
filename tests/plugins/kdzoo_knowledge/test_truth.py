"""T-norms: Boolean logic on {0, 1}, monotone, dual, in [0, 1]; counts as enumeration has them."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from kdzoo_knowledge.logic.counting import count_distribution, log_count_distribution
from kdzoo_knowledge.logic.truth import Boolean, Godel, Logic, Lukasiewicz, Product
from torch import Tensor

NORMS = [kind(implies) for kind in (Lukasiewicz, Godel, Product) for implies in ("residuum", "strong")]
CORNERS = torch.tensor(list(product((0.0, 1.0), repeat=4)), dtype=torch.float64)
COUNTS = range(-1, 6)


def everything(logic: Logic, x: Tensor) -> dict[str, Tensor]:
    """Every connective on operands (..., 4)."""
    found = {
        "not": logic.negation(x[..., 0]),
        "and": logic.conjunction(x),
        "or": logic.disjunction(x),
        "if": logic.implication(x[..., 0], x[..., 1]),
        "iff": logic.equivalence(x),
        "xor": logic.exclusive(x),
    }
    for k in COUNTS:
        counts = {"at_least": logic.at_least, "at_most": logic.at_most, "exactly": logic.exactly}
        found |= {f"{name} {k}": count(x, k) for name, count in counts.items()}
    return found


@pytest.fixture
def degrees() -> Tensor:
    return torch.rand(200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("logic", NORMS, ids=str)
def test_on_corners_it_is_boolean_logic(logic: Logic) -> None:
    expected = everything(Boolean(), CORNERS.bool())
    for name, value in everything(logic, CORNERS).items():
        torch.testing.assert_close(value, expected[name].double(), msg=name)


@pytest.mark.parametrize("logic", NORMS, ids=str)
def test_truth_stays_between_0_and_1_with_finite_gradients(logic: Logic, degrees: Tensor) -> None:
    for x in (degrees, CORNERS):
        x = x.clone().requires_grad_()
        for name, value in everything(logic, x).items():
            assert ((value >= -1e-12) & (value <= 1 + 1e-12)).all(), name
            (gradient,) = torch.autograd.grad(value.sum(), x)
            assert gradient.isfinite().all(), name


RISES = {"and", "or", "at_least 1", "at_least 2", "at_least 3", "at_least 4"}
FALLS = {"at_most 0", "at_most 1", "at_most 2", "at_most 3"}


@pytest.mark.parametrize("logic", NORMS, ids=str)
def test_each_connective_is_monotone_in_each_operand(logic: Logic, degrees: Tensor) -> None:
    before = everything(logic, degrees)
    for place in range(4):
        raised = degrees.clone()
        raised[:, place] = raised[:, place] + (1 - raised[:, place]) * 0.4
        after = everything(logic, raised)
        for name in RISES:
            assert (after[name] >= before[name] - 1e-12).all(), name
        for name in FALLS:
            assert (after[name] <= before[name] + 1e-12).all(), name
        if place < 2:
            change = after["if"] - before["if"]
            assert (change <= 1e-12).all() if place == 0 else (change >= -1e-12).all()


@pytest.mark.parametrize("logic", NORMS, ids=str)
def test_de_morgan_for_and_and_or(logic: Logic, degrees: Tensor) -> None:
    torch.testing.assert_close(1 - logic.conjunction(degrees), logic.disjunction(1 - degrees))


@pytest.mark.parametrize("logic", [Godel(), Product()], ids=str)
def test_counts_are_dual_under_godel_and_product(logic: Logic, degrees: Tensor) -> None:
    for k in range(5):
        torch.testing.assert_close(1 - logic.at_least(degrees, k), logic.at_most(degrees, k - 1))


def test_counts_are_not_dual_under_lukasiewicz(degrees: Tensor) -> None:
    logic = Lukasiewicz()
    assert not torch.allclose(1 - logic.at_least(degrees, 2), logic.at_most(degrees, 1))


@pytest.mark.parametrize("logic", [Lukasiewicz(), Godel(), Product()], ids=str)
def test_the_residuum_is_1_exactly_where_the_premise_is_no_truer(logic: Logic, degrees: Tensor) -> None:
    a, b = degrees[:, 0], degrees[:, 1]
    torch.testing.assert_close(logic.implication(a, b) >= 1 - 1e-12, a <= b)


def test_the_count_distribution_is_that_of_enumeration(degrees: Tensor) -> None:
    found = count_distribution(degrees)
    expected = torch.zeros_like(found)
    for corner in CORNERS:
        expected[:, int(corner.sum())] += (degrees * corner + (1 - degrees) * (1 - corner)).prod(1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(1), torch.ones(len(found), dtype=torch.float64))
    torch.testing.assert_close(log_count_distribution(degrees.log(), (1 - degrees).log()).exp(), expected)
