"""PAD and SRD: pooled vectors, with an expected error or a soft maximum."""

import math
from typing import Any

import pytest
import torch
from kdzoo_features.pad import uncertain_gap
from kdzoo_features.srd import log_power_gap, normalized
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from kdzoo.errors import CapabilityError

from .conftest import WIDER, Running, seen


@pytest.fixture
def vectors() -> Any:
    """Three tensors (6, 4)."""
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(6, 4, dtype=torch.float64, generator=generator) for _ in range(3))


def test_an_expected_variance_of_one_is_the_squared_error(vectors: Any) -> None:
    student, teacher, _ = vectors
    found = uncertain_gap(student, teacher, torch.zeros_like(student), eps=0.0)
    torch.testing.assert_close(found, functional.mse_loss(student, teacher))


def test_the_best_variance_is_the_squared_gap(vectors: Any) -> None:
    student, teacher, _ = vectors
    best = (student - teacher).square().log().requires_grad_()
    loss = uncertain_gap(student, teacher, best, eps=0.0)
    torch.testing.assert_close(loss, 1 + best.mean())
    torch.testing.assert_close(torch.autograd.grad(loss, best)[0], torch.zeros_like(best))


def test_an_entry_that_is_expected_to_be_far_pulls_less(vectors: Any) -> None:
    student, teacher, variance = vectors
    student = student.requires_grad_()
    (found,) = torch.autograd.grad(uncertain_gap(student, teacher, variance, eps=0.0), student)
    torch.testing.assert_close(found, 2 * (student - teacher) / variance.exp() / student.numel())


def test_pad_estimates_the_variance_from_the_students_vector(running: Running) -> None:
    run = running("pad", student=WIDER)
    method, step = run.methods["pad"].eval(), seen(run, "pad")
    pair = step.student.features["pooled"], step.teacher.features["pooled"]
    torch.testing.assert_close(method.pad(step), uncertain_gap(*pair, method.log_variance(pair[0])))
    torch.testing.assert_close(method.l2(step), functional.mse_loss(*pair))
    assert run.weights_now["pad"] == {"l2": 0.0, "pad": 1.0}


def test_pad_refuses_unequal_widths(running: Running) -> None:
    with pytest.raises(CapabilityError, match=r"methods.pad compares vectors of one width, .* shape \(8,\) .* \(12,\)"):
        running("pad")


def test_normalization_is_batchnorm_without_scale_and_shift(vectors: Any) -> None:
    expected = functional.batch_norm(vectors[0], None, None, training=True, eps=1e-4)
    torch.testing.assert_close(normalized(vectors[0]), expected)


def test_the_scale_and_the_shift_of_a_column_do_not_matter(vectors: Any) -> None:
    student, teacher, _ = (1e3 * x for x in vectors)  # so that eps is nothing beside the variance
    found = log_power_gap(3 * student + 5, teacher)
    torch.testing.assert_close(found, log_power_gap(student, teacher), rtol=1e-6, atol=0)


def test_two_samples_in_opposite_order_have_a_closed_form() -> None:
    # Columns of two samples normalize to +-1, so each entry of an opposed column is off by 2.
    student, teacher = torch.tensor([[1e3, 1e3], [-1e3, -1e3]]).double(), torch.tensor([[-1e3, 1e3], [1e3, -1e3]]).double()
    assert log_power_gap(student, teacher).item() == pytest.approx(math.log(2 * 2**4))
    assert log_power_gap(student, teacher, exponent=2.0).item() == pytest.approx(math.log(2 * 2**2))


def test_identical_features_stay_finite(vectors: Any) -> None:
    student = vectors[0].clone().requires_grad_()
    loss = log_power_gap(student, vectors[0])
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1e-12))
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_srd_compares_the_projected_with_the_teachers_vector(running: Running) -> None:
    run = running("srd")
    method, step = run.methods["srd"], seen(run, "srd")
    found = log_power_gap(method.embed(step.student.features["pooled"]), step.teacher.features["pooled"])
    torch.testing.assert_close(method.srd(step), found)
    assert run.weights_now["srd"] == {"srd": 2.0}


@pytest.mark.parametrize("loss", [log_power_gap, lambda s, t: uncertain_gap(s, t, (s * t).sin())])
def test_derivatives_are_those_of_finite_differences_to_second_order(loss: Any, vectors: Any) -> None:
    pair = tuple(x.requires_grad_() for x in vectors[:2])
    assert gradcheck(loss, pair, check_forward_ad=True)
    assert gradgradcheck(loss, pair)
