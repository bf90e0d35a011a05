"""DIST, TTM, WTTM, WSLD, MLKD: other ways to compare predictions."""

from typing import Any

import pytest
import torch
from kdzoo_logits.dist import DIST
from kdzoo_logits.mlkd import MLKD, batch_relation, class_relation, unsure_classes, unsure_samples
from kdzoo_logits.ttm import TTM
from kdzoo_logits.wsld import WSLD, difficulty, weighted_soft_labels
from kdzoo_logits.wttm import WTTM

from kdzoo.functional.correlation import intra_class, pearson
from kdzoo.functional.divergence import kl_divergence
from kdzoo.functional.transformed_teacher import flatness, transformed_kl_rows


def test_correlation_does_not_see_shift_and_positive_scale() -> None:
    a, b = torch.randn(2, 50, dtype=torch.float64).unbind()
    torch.testing.assert_close(pearson(a, 3 * a + 2), torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(pearson(a, -a), torch.tensor(-1.0, dtype=torch.float64))
    torch.testing.assert_close(pearson(a, b), torch.corrcoef(torch.stack((a, b)))[0, 1])


def test_identical_logits_correlate_fully(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    assert DIST().dist(make_step(student, student.clone(), target)).abs() < 1e-5


def test_constant_logits_leave_dist_finite(make_step: Any) -> None:
    student = torch.zeros(4, 3, requires_grad=True)
    loss = DIST().dist(make_step(student, torch.randn(4, 3)))
    assert torch.autograd.grad(loss, student)[0].isfinite().all()


def test_a_row_of_weight_zero_does_not_enter_the_class_part(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    weight = torch.tensor([2, 2, 2, 2, 2, 0], dtype=torch.float64)
    torch.testing.assert_close(intra_class(student, teacher, weight=weight), intra_class(student[:5], teacher[:5]))


def test_power_one_is_kl_at_temperature_one(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    torch.testing.assert_close(transformed_kl_rows(student, teacher, power=1.0).mean(), kl_divergence(student, teacher))


def test_the_powered_teacher_is_the_powered_distribution(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    powered = teacher.softmax(-1) ** 0.3
    q = powered / powered.sum(-1, keepdim=True)
    expected = (q * (q.log() - student.log_softmax(-1))).sum(-1)
    torch.testing.assert_close(transformed_kl_rows(student, teacher, power=0.3), expected)
    torch.testing.assert_close(flatness(teacher, power=0.3), powered.sum(-1))


def test_wttm_at_power_one_is_ttm(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = make_step(*rows)
    torch.testing.assert_close(WTTM(power=1.0).wttm(step), TTM(power=1.0).ttm(step))


def test_flatness_lies_between_certain_and_uniform() -> None:
    teacher = torch.tensor([[1000.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(flatness(teacher, power=0.5), torch.tensor([1.0, 2.0]))


def test_a_student_that_is_sure_of_the_label_is_not_taught(rows: tuple[Any, Any, torch.Tensor]) -> None:
    _, teacher, target = rows
    sure = 100 * torch.nn.functional.one_hot(target, 5).double()
    assert weighted_soft_labels(sure, teacher, target) == 0


def test_the_weight_of_wsld_carries_no_gradient(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, target = rows
    student = student.requires_grad_()
    gradient = torch.autograd.grad(WSLD().wsld(make_step(student, teacher, target)), student)[0]
    gaps = 4 * ((student / 4).softmax(-1) - (teacher / 4).softmax(-1))
    torch.testing.assert_close(gradient, difficulty(student, teacher, target).unsqueeze(-1) * gaps / 6)


def test_identical_predictions_have_identical_relations(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student = rows[0]
    assert batch_relation(student, student.clone(), temperature=4.0) == 0
    assert class_relation(student, student.clone(), temperature=4.0) == 0


def test_relations_do_not_depend_on_the_order_of_the_samples(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, _ = rows
    for relation in (batch_relation, class_relation):
        flipped = relation(student.flip(0), teacher.flip(0), temperature=2.0)
        torch.testing.assert_close(flipped, relation(student, teacher, temperature=2.0))


def test_half_of_the_samples_and_classes_are_unsure() -> None:
    teacher = torch.tensor([[9.0, 0, 0, 0], [5.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 2.0, 0]])
    assert unsure_samples(teacher).tolist() == [False, False, True, True]
    assert unsure_classes(teacher).tolist() == [False, True, False, True]


def test_mlkd_is_zero_where_student_and_teacher_agree_on_both_views(
    make_step: Any, rows: tuple[Any, Any, torch.Tensor]
) -> None:
    student, other, target = rows
    strong = make_step(other, other.clone(), target)
    step = make_step(student, student.clone(), target, views={"strong": strong})
    values = MLKD()(step, ["sample", "batch", "classwise"])
    assert all(value.abs() < 1e-13 for value in values.values())


@pytest.mark.parametrize("method", [TTM, WTTM])
def test_a_power_below_zero_is_refused_in_words(method: Any) -> None:
    with pytest.raises(ValueError, match="power must be > 0, got -1"):
        method(power=-1.0)
