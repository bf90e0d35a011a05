"""KD, hard labels and DML as methods."""

import pytest
import torch
from kdzoo_logits.dml import DML
from kdzoo_logits.hard_label import HardLabel
from kdzoo_logits.kd import KD
from torch.nn import functional

from kdzoo.functional.divergence import kl_divergence, softened_kl


def test_identical_logits_give_zero_loss(make_step, rows) -> None:
    student, _, target = rows
    assert KD().kd(make_step(student, student.clone(), target)).abs() < 1e-14


def test_the_term_is_the_pure_function_at_the_methods_temperature(make_step, rows) -> None:
    assert KD(temperature=3.0).kd(make_step(*rows)) == softened_kl(rows[0], rows[1], temperature=3.0)


def test_masked_rows_do_not_count(make_step, rows) -> None:
    weight = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.float64)
    masked = KD().kd(make_step(*rows, weight=weight))
    torch.testing.assert_close(masked, KD().kd(make_step(*(t[:3] for t in rows))))


def test_a_temperature_of_zero_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        KD(temperature=0.0)


def test_hard_labels_are_what_the_task_says(make_step, rows) -> None:
    student, _, target = rows
    loss = HardLabel().hard_label(make_step(student, target=target))
    torch.testing.assert_close(loss, functional.cross_entropy(student, target))


def test_hard_labels_of_another_view_are_learned_on_that_view(make_step, rows) -> None:
    student, other, target = rows
    step = make_step(student, target=target, views={"strong": make_step(other, target=target)})
    method = HardLabel(view="strong")
    assert method.needs().views == {"strong"}
    torch.testing.assert_close(method.hard_label(step), functional.cross_entropy(other, target))


def test_peers_that_agree_teach_nothing(make_step, rows) -> None:
    student = rows[0]
    assert DML().dml(make_step(student, peers=[student.clone()])).abs() < 1e-14


def test_three_learners_average_over_their_two_peers(make_step, rows) -> None:
    student, peer, _ = rows
    loss = DML(learners=3).dml(make_step(student, peers=[peer, -peer]))
    torch.testing.assert_close(loss, (kl_divergence(student, peer) + kl_divergence(student, -peer)) / 2)


def test_a_single_learner_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="learners must be >= 2"):
        DML(learners=1)
