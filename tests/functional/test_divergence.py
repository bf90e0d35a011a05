"""Divergences in closed form."""

from typing import Any

import pytest
import torch

from kdzoo.functional.divergence import kl_divergence, soft_cross_entropy, softened_kl


@pytest.fixture
def pair() -> Any:
    generator = torch.Generator().manual_seed(0)
    return tuple(3 * torch.randn(6, 5, dtype=torch.float64, generator=generator) for _ in range(2))


def test_identical_logits_give_zero_loss(pair: Any) -> None:
    assert softened_kl(pair[0], pair[0].clone()).abs() < 1e-14


def test_shifting_a_row_of_logits_changes_nothing(pair: Any) -> None:
    student, teacher = pair
    torch.testing.assert_close(softened_kl(student + 7, teacher - 3), softened_kl(student, teacher))


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_gradient_is_t_times_the_gap_of_probabilities_over_rows(pair: Any, temperature: float) -> None:
    student, teacher = pair[0].requires_grad_(), pair[1]
    (gradient,) = torch.autograd.grad(softened_kl(student, teacher, temperature=temperature), student)
    gap = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    torch.testing.assert_close(gradient, temperature * gap / len(student))


def test_at_high_temperature_it_is_half_the_variance_of_the_logit_gap(pair: Any) -> None:
    student, teacher = pair
    gap = (student - teacher) - (student - teacher).mean(-1, keepdim=True)
    torch.testing.assert_close(
        softened_kl(student, teacher, temperature=1e4), gap.square().mean(-1).mean() / 2, rtol=1e-3, atol=0
    )


def test_cross_entropy_exceeds_the_kl_by_the_teachers_entropy(pair: Any) -> None:
    student, teacher = pair
    log_t = (teacher / 4).log_softmax(-1)
    entropy = -(log_t.exp() * log_t).sum(-1).mean()
    gap = soft_cross_entropy(student, teacher, temperature=4.0) - kl_divergence(student, teacher, temperature=4.0)
    torch.testing.assert_close(gap, entropy)


def test_a_row_of_weight_zero_does_not_count(pair: Any) -> None:
    student, teacher = pair
    weight = torch.tensor([1, 1, 1, 1, 1, 0], dtype=torch.float64)
    torch.testing.assert_close(softened_kl(student, teacher, weight=weight), softened_kl(student[:5], teacher[:5]))


def test_a_class_that_both_rule_out_leaves_loss_and_gradient_finite(pair: Any) -> None:
    student, teacher = (z.clone() for z in pair)
    student[:, 2] = teacher[:, 2] = -torch.inf
    student.requires_grad_()
    loss = softened_kl(student, teacher)
    keep = [0, 1, 3, 4]
    torch.testing.assert_close(loss, softened_kl(student[:, keep], teacher[:, keep]))
    assert torch.autograd.grad(loss, student)[0].isfinite().all()


def test_constant_logits_are_finite() -> None:
    student = torch.zeros(3, 4, requires_grad=True)
    loss = softened_kl(student, torch.full((3, 4), 5.0))
    assert loss == 0
    assert torch.autograd.grad(loss, student)[0].isfinite().all()
