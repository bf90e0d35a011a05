"""Hard distillation, CS-KD, mean teacher and SKD against their formulas written out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from kdzoo_logits.cs_kd import CSKD
from kdzoo_logits.hard_distillation import HardDistillation
from kdzoo_logits.mean_teacher import MeanTeacher, probability_gap
from kdzoo_logits.skd import SKD, direction_gap
from torch.nn import functional

from kdzoo.functional.divergence import softened_kl


def test_hard_distillation_is_cross_entropy_with_the_teachers_choice(
    make_step: Any, rows: tuple[Any, Any, torch.Tensor]
) -> None:
    student, teacher, _ = rows
    expected = functional.cross_entropy(student, teacher.argmax(1))
    torch.testing.assert_close(HardDistillation().hard_distillation(make_step(student, teacher)), expected)


def test_hard_distillation_ignores_how_sure_the_teacher_is(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    first, second = (HardDistillation().hard_distillation(make_step(student, t)) for t in (teacher, 10 * teacher))
    assert first == second


def test_masked_rows_do_not_count(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    weight = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.float64)
    for term in (HardDistillation().hard_distillation, step_gap):
        masked = term(make_step(*rows, weight=weight))
        torch.testing.assert_close(masked, term(make_step(*(t[:3] for t in rows))))


def step_gap(step: Any) -> Any:
    return probability_gap(step.student.rows.logits, step.teacher.rows.logits, weight=step.student.rows.weight)


def test_classmates_with_one_answer_have_nothing_to_learn(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = make_step(rows[0], views={"same_class": make_step(rows[0].clone())})
    assert CSKD().cs_kd(step).abs() < 1e-14


def test_the_classmates_answer_is_a_fixed_target(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, other = (z.clone().requires_grad_() for z in rows[:2])
    step = make_step(student, views={"same_class": make_step(other)})
    loss = CSKD(temperature=3.0).cs_kd(step)
    torch.testing.assert_close(loss, softened_kl(student, other, temperature=3.0))
    assert torch.autograd.grad(loss, other, allow_unused=True, retain_graph=True) == (None,)
    expected = 3.0 * ((student / 3).softmax(1) - (other / 3).softmax(1)) / len(student)
    torch.testing.assert_close(torch.autograd.grad(loss, student)[0], expected)


def test_consistency_is_a_squared_gap_of_probabilities_over_rows_and_classes(
    make_step: Any, rows: tuple[Any, Any, torch.Tensor]
) -> None:
    student, teacher, _ = rows
    step = make_step(student, views={"second": make_step(-student, teacher)})
    expected = functional.mse_loss(student.softmax(1), teacher.softmax(1))
    torch.testing.assert_close(MeanTeacher().consistency(step), expected)


def test_opposite_certainties_give_two_over_the_classes() -> None:
    student, teacher = torch.tensor([[99.0, 0, 0, 0]]), torch.tensor([[0, 0, 99.0, 0]])
    assert probability_gap(student, teacher) == pytest.approx(2 / 4)


def mahalanobis(student: Any, teacher: Any, tikhonov: Any) -> Any:
    """The direction term as the paper has it: covariance, inverse, quadratic form."""
    unit_s, unit_t = functional.normalize(student), functional.normalize(teacher)
    gap = (unit_s @ unit_s.T - unit_t @ unit_t.T) / student.shape[1]
    inverse = torch.linalg.inv(torch.cov(gap.T) + tikhonov * torch.eye(len(gap), dtype=gap.dtype))
    return torch.stack([(d @ inverse @ d).sqrt() for d in gap]).mean()


@pytest.mark.parametrize("tikhonov", [1e-4, 0.1])
def test_directions_are_compared_by_their_mahalanobis_length(tikhonov: float, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    found = direction_gap(student, teacher, tikhonov=tikhonov)
    torch.testing.assert_close(found, mahalanobis(student, teacher, tikhonov), rtol=1e-9, atol=0)


def test_the_length_of_logits_has_no_direction(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, _ = rows
    torch.testing.assert_close(direction_gap(3 * student, student), torch.zeros((), dtype=torch.float64))


def test_two_opposed_samples_have_a_closed_form() -> None:
    # Z Z' is [[1, -1], [-1, 1]] against the identity: D = [[0, -1], [-1, 0]] / 2, cov = [[1, -1], [-1, 1]] / 8.
    student, teacher = torch.tensor([[1.0, 0], [-1, 0]]).double(), torch.eye(2).double()
    tikhonov = 0.5
    a, b = 1 / 8 + tikhonov, -1 / 8
    expected = math.sqrt(0.25 * a / (a * a - b * b))
    torch.testing.assert_close(direction_gap(student, teacher, tikhonov=tikhonov).item(), expected)


def test_identical_logits_have_a_finite_gradient(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student = rows[0].clone().requires_grad_()
    direction_gap(student, rows[0]).backward()
    assert torch.isfinite(student.grad).all()


def test_the_masks_scale_by_the_share_that_they_keep(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    method, step = SKD(temperature=2.0), make_step(student, teacher)
    sure = teacher.softmax(1).max(1).values.numpy()
    per_class = teacher.softmax(1).sum(0).numpy()
    samples, classes = ((x <= np.percentile(x, 50)).mean() for x in (sure, per_class))
    assert (samples, classes) == (0.5, 0.6)
    torch.testing.assert_close(method.instance(step), samples * softened_kl(student, teacher, temperature=2.0))
    torch.testing.assert_close(method.direction(step), classes * direction_gap(student, teacher))


@pytest.mark.parametrize(("method", "settings"), [(CSKD, {"temperature": 0.0}), (SKD, {"tikhonov": 0.0})])
def test_values_out_of_range_are_refused_in_words(method: Any, settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be > 0, got 0"):
        method(**settings)
