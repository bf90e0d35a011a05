"""Transforms that change the teacher's logits: noise, and the label on top."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from kdzoo_logits.noisy_teacher import NoisyTeacher, noisy
from kdzoo_logits.probability_shift import ProbabilityShift, shifted
from kdzoo_logits.shuffled_teacher import ShuffledTeacher, shuffled

from kdzoo.errors import CapabilityError
from kdzoo.protocol.outputs import Pair
from kdzoo.random import Streams


@pytest.fixture
def many() -> tuple[torch.Tensor, Any]:
    """2000 rows of ones over five classes, and numbers to draw noise from."""
    return torch.ones(2000, 5, dtype=torch.float64), Streams(0).uniform(torch.arange(2000), 6, "noise")


def test_noise_multiplies_with_the_variance_asked_for(many: tuple[torch.Tensor, Any]) -> None:
    factors = noisy(*many, alpha=1.0, variance=0.09)
    assert factors.mean() == pytest.approx(1.0, abs=0.01)
    assert factors.std() == pytest.approx(0.3, abs=0.01)


def test_noise_comes_to_a_share_of_the_samples_and_to_all_logits_of_one(many: tuple[torch.Tensor, Any]) -> None:
    changed = noisy(*many, alpha=0.3) != 1
    assert torch.equal(changed.any(1), changed.all(1))
    assert changed.any(1).double().mean() == pytest.approx(0.3, abs=0.03)


def test_the_ends_of_the_uniform_numbers_give_finite_noise() -> None:
    ends = torch.tensor([[0.0, 0.0, 1 - 2**-24]])
    low, high = noisy(torch.ones(1, 2), ends, alpha=1.0, variance=1.0)[0].tolist()
    assert low == pytest.approx(1 - 5.42, abs=0.01)
    assert high == pytest.approx(1 + 5.42, abs=0.01)


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"variance": 0.0}])
def test_without_noise_the_teacher_stays_as_it_is(settings: dict[str, float], many: tuple[torch.Tensor, Any]) -> None:
    assert torch.equal(noisy(*many, **settings), many[0])


def pair_of(step: Any) -> Pair:
    return Pair(step.student.rows, step.teacher.rows)


def sampled(make_step: Any, rows: Any, index: Any) -> Any:
    """A step on some of the rows, whose samples have these numbers."""
    step = make_step(*(t[index] for t in rows))
    return replace(step, samples=index)


def test_the_noise_belongs_to_the_sample_not_to_the_batch(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    transform = NoisyTeacher(alpha=0.7)

    def changed(*index: Any) -> Any:
        step = sampled(make_step, rows, torch.tensor(index))
        return transform(pair_of(step), step).teacher.logits

    whole = changed(0, 1, 2, 3, 4, 5)
    assert not torch.equal(whole, rows[1])
    assert torch.equal(torch.cat((changed(0, 1), changed(2, 3, 4, 5))), whole)


def test_the_noise_is_another_in_the_next_epoch(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = sampled(make_step, rows, torch.arange(6))
    later = replace(step, batch=replace(step.batch, epoch=1))
    first, second = (NoisyTeacher(alpha=1.0)(pair_of(s), s).teacher.logits for s in (step, later))
    assert not torch.equal(first, second)


def test_rows_that_are_no_samples_are_refused(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = replace(make_step(*rows), samples=torch.arange(3))
    with pytest.raises(CapabilityError, match=r"noisy_teacher of methods.mine .* 6 rows for 3 samples"):
        NoisyTeacher()(pair_of(step), step)


def test_a_wrong_teacher_has_its_top_class_and_the_label_exchanged() -> None:
    teacher = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    expected = torch.tensor([[1.0, 3.0, 2.0], [0.0, 5.0, 4.0]])
    assert torch.equal(shifted(teacher, torch.tensor([1, 1])), expected)


def test_the_shifted_teacher_is_always_right_with_the_same_probabilities(rows: tuple[Any, Any, torch.Tensor]) -> None:
    _, teacher, target = rows
    changed = shifted(teacher, target)
    assert torch.equal(changed.argmax(1), target)
    assert torch.equal(changed.sort(1).values, teacher.sort(1).values)


def test_a_soft_target_means_its_most_probable_class(rows: tuple[Any, Any, torch.Tensor]) -> None:
    _, teacher, target = rows
    soft = 0.9 * torch.nn.functional.one_hot(target, 5) + 0.02
    assert torch.equal(shifted(teacher, soft), shifted(teacher, target))


def test_a_row_without_a_label_is_left_alone(rows: tuple[Any, Any, torch.Tensor]) -> None:
    _, teacher, _ = rows
    assert torch.equal(shifted(teacher, torch.full((6,), -100)), teacher)


@pytest.mark.parametrize("transform", [ProbabilityShift(), NoisyTeacher()])
def test_a_method_without_a_teacher_is_left_alone(transform: Any, make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    step = make_step(rows[0], target=rows[2])
    pair = Pair(step.student.rows)
    assert transform(pair, step) is pair


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"alpha": 1.5}, "alpha must be between 0 and 1, got 1.5"), ({"variance": -1.0}, "variance must be at least 0, got -1")],
)
def test_values_out_of_range_are_refused_in_words(settings: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        NoisyTeacher(**settings)


def test_shuffled_answers_keep_the_decision_and_all_values(many: tuple[torch.Tensor, Any]) -> None:
    logits = torch.randn(2000, 5, generator=torch.Generator().manual_seed(0))
    changed = shuffled(logits, many[1][:, :5])
    assert torch.equal(changed.argmax(1), logits.argmax(1))
    assert torch.equal(changed.max(1).values, logits.max(1).values)
    assert torch.equal(changed.sort(1).values, logits.sort(1).values)


def test_every_order_of_the_other_classes_is_as_likely(many: tuple[torch.Tensor, Any]) -> None:
    logits = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0]]).expand(2000, 5)
    places = (shuffled(logits, many[1][:, :5]) == 4.0).double().mean(0)
    assert places[0] == 0
    assert places[1:].tolist() == pytest.approx([0.25] * 4, abs=0.04)


def test_the_shuffled_order_belongs_to_the_sample(make_step: Any, rows: tuple[Any, Any, torch.Tensor]) -> None:
    def changed(*index: Any) -> Any:
        step = sampled(make_step, rows, torch.tensor(index))
        return ShuffledTeacher()(pair_of(step), step).teacher.logits

    whole = changed(0, 1, 2, 3, 4, 5)
    assert torch.equal(torch.cat((changed(0, 1), changed(2, 3, 4, 5))), whole)
    with pytest.raises(CapabilityError, match=r"shuffled_teacher of methods.mine .* 6 rows for 3 samples"):
        ShuffledTeacher()(pair_of(make_step(*rows)), replace(make_step(*rows), samples=torch.arange(3)))
