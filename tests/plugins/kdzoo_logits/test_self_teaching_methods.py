"""PS-KD, Tf-KD and USKD: no teacher network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kdzoo_logits.ps_kd import PSKD, progressive_targets
from kdzoo_logits.tf_kd import TfKD, virtual_teacher_kl
from kdzoo_logits.uskd import confident_self_label, zipf_soft_labels
from torch.nn import functional

INDEX = torch.tensor([7, 0, 3, 1, 6, 2])


@pytest.fixture
def ps_kd(make_run: Callable[..., Any]) -> Any:
    method = PSKD(alpha=0.8)
    method.setup(make_run(classes=5, samples=8))
    return method.double()


def test_before_any_prediction_the_label_is_taught(ps_kd: Any, make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    step = make_step(student, target=target, index=INDEX, epoch=9)
    torch.testing.assert_close(ps_kd.ps_kd(step), functional.cross_entropy(student, target))


def test_later_the_samples_own_last_prediction_is_mixed_in(
    ps_kd: Any, make_step: Any, make_run: Callable[..., Any], rows: tuple[Any, Any, torch.Tensor]
) -> None:
    student, past, target = rows
    ps_kd.after_step([make_step(past, target=target, index=INDEX)], make_run())
    loss = ps_kd.ps_kd(make_step(student, target=target, index=INDEX, epoch=4, epochs=10))
    aim = 0.6 * functional.one_hot(target, 5) + 0.4 * past.softmax(-1)
    torch.testing.assert_close(loss, functional.cross_entropy(student, aim))


def test_evaluating_the_term_leaves_the_table_alone(ps_kd: Any, make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, _, target = rows
    ps_kd.ps_kd(make_step(student, target=target, index=INDEX))
    assert ps_kd.past.abs().sum() == 0


def test_only_the_samples_of_the_step_are_written(
    ps_kd: Any, make_step: Any, make_run: Callable[..., Any], rows: tuple[Any, Any, torch.Tensor]
) -> None:
    student, _, target = rows
    ps_kd.after_step([make_step(student, target=target, index=INDEX)], make_run())
    torch.testing.assert_close(ps_kd.past.sum(-1), torch.tensor([1, 1, 1, 1, 0, 0, 1, 1], dtype=torch.float64))


def test_the_table_is_part_of_the_state(ps_kd: Any) -> None:
    assert ps_kd.state_dict()["past"].shape == (8, 5)


def test_targets_stay_distributions() -> None:
    past = torch.tensor([[0.2, 0.8], [0.0, 0.0]])
    aim = progressive_targets(torch.tensor([0, 1]), past, share=0.5)
    torch.testing.assert_close(aim, torch.tensor([[0.6, 0.4], [0.0, 1.0]]))


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_a_share_outside_0_to_1_is_refused_in_words(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"alpha must be between 0 and 1, got {alpha:g}"):
        PSKD(alpha=alpha)


def test_a_student_that_says_what_the_virtual_teacher_says_has_zero_loss() -> None:
    target = torch.tensor([0, 2])
    q = torch.full((2, 3), 0.005).scatter(1, target.unsqueeze(-1), 0.99)
    assert virtual_teacher_kl(q / 20, target).abs() < 1e-8


def test_the_virtual_teacher_also_averages_over_classes(make_step: Any) -> None:
    """A virtual teacher without knowledge is uniform: KL(uniform || p) / C."""
    student, target = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    loss = TfKD(correct=0.2).tf_kd(make_step(student, target=target))
    uniform = torch.full((4, 5), 0.2, dtype=torch.float64)
    torch.testing.assert_close(loss, functional.kl_div(student.log_softmax(-1), uniform, reduction="none").mean())


def test_zipf_labels_follow_the_rank_of_the_weak_head() -> None:
    student, weak = torch.zeros(1, 4), torch.tensor([[0.0, 3.0, 9.0, 1.0]])
    labels = zipf_soft_labels(student, weak, torch.tensor([2]))
    expected = torch.tensor([[1 / 4, 1 / 2, 1 / 3]])
    torch.testing.assert_close(labels, expected / expected.sum())


def test_equally_confident_samples_are_taught_by_plain_cross_entropy() -> None:
    student, target = torch.randn(1, 5).expand(3, 5), torch.tensor([1, 1, 1])
    torch.testing.assert_close(confident_self_label(student, target), functional.cross_entropy(student, target))


def test_masked_samples_do_not_enter_the_batchs_confidence() -> None:
    student, target, weight = torch.randn(4, 5), torch.tensor([0, 1, 2, 3]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    masked = confident_self_label(student, target, weight=weight)
    torch.testing.assert_close(masked, confident_self_label(student[:3], target[:3]))
