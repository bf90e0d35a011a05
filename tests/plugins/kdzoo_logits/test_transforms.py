"""Transforms of logits and targets, and what they do to a method's term."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from kdzoo_logits.curriculum_temperature import CurriculumTemperature, reversal
from kdzoo_logits.hard_label import HardLabel
from kdzoo_logits.kd import KD
from kdzoo_logits.smooth import Smooth, SmoothOffLabel
from kdzoo_logits.standardize import Standardize
from torch.nn import functional

from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.standardize import standardize
from kdzoo.protocol.outputs import Pair


def loss(method: Any, step: Any, *, logits: tuple[Any, ...] = (), targets: tuple[Any, ...] = ()) -> Any:
    method.logits.extend(logits)
    method.targets.extend(targets)
    (name,) = method.kdzoo_terms
    return method(step, [name])[name]


def test_standardized_kd_compares_z_scores(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    found = loss(KD(temperature=2.0), make_step(*rows), logits=[Standardize()])
    torch.testing.assert_close(found, softened_kl(standardize(student), standardize(teacher), temperature=2.0))


def test_standardizing_keeps_the_scale_of_an_earlier_transform(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = make_step(*rows)
    pair = Pair(step.student.rows, step.teacher.rows, torch.tensor(3.0))
    assert Standardize()(pair, step).scale == 3.0


def test_smoothed_hard_labels_are_those_of_torch(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    found = loss(HardLabel(), make_step(student, target=target), targets=[Smooth(alpha=0.2)])
    torch.testing.assert_close(found, functional.cross_entropy(student, target, label_smoothing=0.2))


def test_smoothing_off_the_label_is_torchs_with_a_larger_alpha(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    found = loss(HardLabel(), make_step(student, target=target), targets=[SmoothOffLabel(alpha=0.2)])
    torch.testing.assert_close(found, functional.cross_entropy(student, target, label_smoothing=0.25))


def test_rows_without_targets_are_left_alone_by_smoothing(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = make_step(rows[0], rows[1])
    pair = Pair(step.student.rows, step.teacher.rows)
    assert Smooth()(pair, step) is pair


def test_a_learned_temperature_gives_kd_at_that_temperature(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    temperature = 1 + 20 * torch.ones(()).double().sigmoid()
    found = loss(KD(temperature=1.0), make_step(*rows), logits=[CurriculumTemperature().double()])
    torch.testing.assert_close(found, softened_kl(student, teacher, temperature=temperature))


def test_theta_climbs_while_the_student_descends(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, target = rows
    student = student.requires_grad_()
    learned = CurriculumTemperature(loops=10).double()
    found = loss(KD(temperature=1.0), make_step(student, teacher, target, epoch=9), logits=[learned])
    by_student, by_theta = torch.autograd.grad(found, (student, learned.theta))
    theta = torch.ones((), dtype=torch.float64, requires_grad=True)
    plain = softened_kl(student, teacher, temperature=1 + 20 * theta.sigmoid())
    true_student, true_theta = torch.autograd.grad(plain, (student, theta))
    torch.testing.assert_close(by_student, true_student)
    torch.testing.assert_close(by_theta, -true_theta)


def test_the_reversal_grows_from_nothing_to_full_over_the_curriculum() -> None:
    values = [reversal(epoch) for epoch in range(13)]
    assert values[0] == 0.0
    assert values[5] == pytest.approx(-0.5)
    assert values[10:] == [-1.0, -1.0, -1.0]
    assert values == sorted(values, reverse=True)


def test_a_method_without_a_teacher_may_be_softened_too(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = make_step(rows[0], target=rows[2])
    pair = CurriculumTemperature()(Pair(step.student.rows), step)
    assert pair.teacher is None


def test_two_learned_temperatures_multiply_their_scales(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = make_step(*rows)
    once = CurriculumTemperature()(Pair(step.student.rows, step.teacher.rows), step)
    twice = CurriculumTemperature()(once, step)
    torch.testing.assert_close(twice.scale, once.scale**2)


def test_the_transforms_of_one_method_leave_the_step_of_others_alone(
    make_step: Any, rows: tuple[Any, Any, torch.Tensor]
) -> None:
    step = make_step(*rows)
    before = replace(step, student=replace(step.student, rows=replace(step.student.rows)))
    loss(KD(), step, logits=[Standardize(), CurriculumTemperature()], targets=[Smooth()])
    assert step.student.rows.logits is before.student.rows.logits
    assert torch.equal(step.student.rows.target, rows[2])


@pytest.mark.parametrize(
    ("transform", "settings", "text"),
    [
        (Smooth, {"alpha": 1.5}, "alpha must be between 0 and 1, got 1.5"),
        (Standardize, {"eps": 0.0}, "eps must be > 0, got 0"),
        (CurriculumTemperature, {"start": 0.0}, "start must be > 0, got 0"),
    ],
)
def test_values_out_of_range_are_refused_in_words(transform: Any, settings: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        transform(**settings)
