"""DKD, NKD and RLD: the label and the other classes, weighed apart."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kdzoo_logits.dkd import DKD
from kdzoo_logits.nkd import NKD
from kdzoo_logits.ps_kd import PSKD
from kdzoo_logits.rld import RLD
from kdzoo_logits.tf_kd import TfKD
from kdzoo_logits.wsld import WSLD

from kdzoo.errors import CapabilityError
from kdzoo.functional.decouple import at_label
from kdzoo.functional.decoupled_kd import non_target_kl, target_class_kl
from kdzoo.functional.divergence import kl_rows, softened_kl
from kdzoo.functional.normalized_kd import confident_label_loss, non_target_cross_entropy
from kdzoo.functional.refined_logits import masked_correlation_kl, sample_confidence_kl


def test_kd_is_the_target_part_plus_the_rest_by_the_teachers_doubt(rows: tuple[Any, Any, torch.Tensor]) -> None:
    """The decomposition of the DKD paper, row by row: KD = TCKD + (1 - p_t[y]) NCKD."""
    for student, teacher, target in zip(*(t.split(1) for t in rows), strict=True):
        doubt = 1 - at_label((teacher / 4).softmax(-1), target).squeeze()
        parts = target_class_kl(student, teacher, target) + doubt * non_target_kl(student, teacher, target)
        torch.testing.assert_close(parts, softened_kl(student, teacher))


def test_identical_logits_give_zero_loss(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    for method in (DKD(), RLD()):
        name = type(method).__name__.lower()
        right = torch.nn.functional.one_hot(student.argmax(-1), 5).argmax(-1) if name == "rld" else target
        assert getattr(method, name)(make_step(student, student.clone(), right)).abs() < 1e-13


@pytest.mark.parametrize("part", [target_class_kl, non_target_kl, masked_correlation_kl, sample_confidence_kl])
def test_extreme_logits_stay_finite_with_finite_gradients(part: Any) -> None:
    student = torch.tensor([[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]], requires_grad=True)
    loss = part(student, student.detach().flip(0), torch.tensor([0, 1]))
    assert loss.isfinite()
    assert torch.autograd.grad(loss, student)[0].isfinite().all()


def test_a_target_may_be_a_one_hot_row(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, target = rows
    soft = torch.nn.functional.one_hot(target, 5).double()
    for part in (target_class_kl, non_target_kl, confident_label_loss, masked_correlation_kl, sample_confidence_kl):
        assert part(student, teacher, soft) == part(student, teacher, target)


def test_the_student_gradient_of_nkd_vanishes_on_the_other_classes_that_agree(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    student = student.requires_grad_()
    loss = non_target_cross_entropy(student, student.detach(), target, temperature=2.0)
    assert torch.autograd.grad(loss, student)[0].abs().max() < 1e-14


def test_an_unsure_teacher_weakens_the_label_loss_of_nkd(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    unsure, sure = torch.zeros_like(student), 50 * torch.nn.functional.one_hot(target, 5).double()
    cross_entropy = torch.nn.functional.cross_entropy(student, target)
    torch.testing.assert_close(confident_label_loss(student, unsure, target), cross_entropy / 5)
    torch.testing.assert_close(confident_label_loss(student, sure, target), cross_entropy)


def test_rld_with_a_teacher_that_is_right_is_dkd(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    step = make_step(student, teacher, teacher.argmax(-1))
    rld = RLD(confidence_temperature=4.0).rld(step)
    torch.testing.assert_close(rld, DKD().dkd(step))


def test_rld_ignores_what_a_wrong_teacher_ranks_above_the_label() -> None:
    teacher = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    student = torch.tensor([[9.0, 5.0, 1.0, -2.0]])
    loss = masked_correlation_kl(student, teacher, torch.tensor([1]))
    torch.testing.assert_close(loss, softened_kl(student[:, 2:], teacher[:, 2:]))


def test_a_label_that_the_teacher_ranks_last_leaves_nothing_to_correlate() -> None:
    student, teacher = torch.randn(1, 4, requires_grad=True), torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    loss = masked_correlation_kl(student, teacher, torch.tensor([3]))
    assert loss == 0
    assert torch.autograd.grad(loss, student)[0].tolist() == [[0.0] * 4]


def test_the_teachers_own_guess_gives_the_confidence_of_rld(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, target = rows
    top = (teacher / 2).softmax(-1).amax(-1)
    own = at_label((student / 2).softmax(-1), target)
    expected = 4 * kl_rows(torch.stack((own, 1 - own), -1).log(), torch.stack((top, 1 - top), -1).log()).mean()
    torch.testing.assert_close(sample_confidence_kl(student, teacher, target, temperature=2.0), expected)


@pytest.mark.parametrize("method", [DKD(), NKD(), RLD()])
def test_two_classes_are_refused_with_a_sentence(method: Any, make_run: Callable[..., Any]) -> None:
    method.label = "mine"
    method.setup(make_run(classes=3))
    with pytest.raises(CapabilityError, match=r"methods\.mine compares the classes that are not the label, .* has 2 classes"):
        method.setup(make_run(classes=2))


@pytest.mark.parametrize("method", [DKD(), NKD(), RLD(), WSLD(), TfKD(), PSKD()])
def test_a_task_without_labels_is_refused_with_a_sentence(method: Any, make_run: Callable[..., Any]) -> None:
    method.label = "mine"
    with pytest.raises(CapabilityError, match=r"methods\.mine needs a label per row, but this task's rows have none"):
        method.setup(make_run(labeled=False))
