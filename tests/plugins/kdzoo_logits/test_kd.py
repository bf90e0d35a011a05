"""KD, hard labels and DML as methods."""

from typing import Any

import pytest
import torch
from kdzoo_logits.dml import DML
from kdzoo_logits.hard_label import HardLabel
from kdzoo_logits.kd import KD
from kdzoo_logits.kdcl import KDCL, least_rivals
from torch.nn import functional

from kdzoo.functional.divergence import kl_divergence, softened_kl


def test_identical_logits_give_zero_loss(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    assert KD().kd(make_step(student, student.clone(), target)).abs() < 1e-14


def test_the_term_is_the_pure_function_at_the_methods_temperature(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    assert KD(temperature=3.0).kd(make_step(*rows)) == softened_kl(rows[0], rows[1], temperature=3.0)


def test_masked_rows_do_not_count(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    weight = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.float64)
    masked = KD().kd(make_step(*rows, weight=weight))
    torch.testing.assert_close(masked, KD().kd(make_step(*(t[:3] for t in rows))))


def test_a_temperature_of_zero_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        KD(temperature=0.0)


def test_hard_labels_are_what_the_task_says(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    loss = HardLabel().hard_label(make_step(student, target=target))
    torch.testing.assert_close(loss, functional.cross_entropy(student, target))


def test_hard_labels_of_another_view_are_learned_on_that_view(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, other, target = rows
    step = make_step(student, target=target, views={"strong": make_step(other, target=target)})
    method = HardLabel(view="strong")
    assert method.needs().views == {"strong"}
    torch.testing.assert_close(method.hard_label(step), functional.cross_entropy(other, target))


def test_peers_that_agree_teach_nothing(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student = rows[0]
    assert DML().dml(make_step(student, peers=[student.clone()])).abs() < 1e-14


def test_three_learners_average_over_their_two_peers(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, peer, _ = rows
    loss = DML(learners=3).dml(make_step(student, peers=[peer, -peer]))
    torch.testing.assert_close(loss, (kl_divergence(student, peer) + kl_divergence(student, -peer)) / 2)


@pytest.mark.parametrize("method", [DML, KDCL])
def test_a_single_learner_is_refused_in_words(method: Any) -> None:
    with pytest.raises(ValueError, match="learners must be at least 2"):
        method(learners=1)


def test_the_naive_teacher_of_a_row_is_whoever_knows_its_label_best(make_step: Any) -> None:
    knows_first = torch.tensor([[4.0, 0, 0], [4.0, 0, 0]])
    knows_second = torch.tensor([[0, 2.0, 0], [0, 2.0, 0]])
    target = torch.tensor([0, 1])
    teacher = torch.stack([knows_first[0], knows_second[1]])
    step = make_step(knows_first, target=target, peers=[knows_second])
    found = KDCL(combine="naive", temperature=2.0).kdcl(step)
    torch.testing.assert_close(found, softened_kl(knows_first, teacher, temperature=2.0))
    assert found > 0.1


def test_the_teacher_of_least_rivals_is_surer_than_any_learner(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, peer, target = rows
    by_hand = torch.minimum(*(z - z[torch.arange(len(z)), target][:, None] for z in (student, peer)))
    torch.testing.assert_close(least_rivals(torch.stack([student, peer]), target), by_hand)
    p, *others = (z.softmax(1)[torch.arange(len(z)), target] for z in (by_hand, student, peer))
    assert all((p >= other).all() for other in others)
    torch.testing.assert_close(KDCL().kdcl(make_step(student, target=target, peers=[peer])), kl_divergence(student, by_hand))


def test_no_learner_is_pulled_through_the_common_teacher(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, peer = (z.clone().requires_grad_() for z in rows[:2])
    loss = KDCL().kdcl(make_step(student, target=rows[2], peers=[peer]))
    gradient, of_peer = torch.autograd.grad(loss, (student, peer), allow_unused=True)
    teacher = least_rivals(torch.stack([student, peer]).detach(), rows[2])
    assert of_peer is None
    torch.testing.assert_close(gradient, (student.softmax(1) - teacher.softmax(1)).detach() / len(student))
