"""Targets in both forms, and smoothing them."""

import pytest
import torch
from torch.nn import functional

from kdzoo.functional.labels import (
    cross_entropy,
    hard_label,
    label_mask,
    probabilities,
    smooth_labels,
    smooth_off_label,
)


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target() -> torch.Tensor:
    return torch.tensor([0, 3, 1, 1, 2])


def test_indices_and_their_one_hot_rows_give_the_same_loss(logits: torch.Tensor, target: torch.Tensor) -> None:
    soft = probabilities(target, logits)
    torch.testing.assert_close(cross_entropy(logits, target), cross_entropy(logits, soft), rtol=1e-12, atol=0)
    assert torch.equal(hard_label(soft), target)


def test_cross_entropy_is_that_of_torch(logits: torch.Tensor, target: torch.Tensor) -> None:
    torch.testing.assert_close(cross_entropy(logits, target), functional.cross_entropy(logits, target))


def test_smoothing_is_that_of_torch(logits: torch.Tensor, target: torch.Tensor) -> None:
    ours = cross_entropy(logits, smooth_labels(target, logits, 0.3))
    torch.testing.assert_close(ours, functional.cross_entropy(logits, target, label_smoothing=0.3))


def test_smoothing_off_the_label_leaves_it_one_minus_alpha(logits: torch.Tensor, target: torch.Tensor) -> None:
    smoothed = smooth_off_label(target, logits, 0.3)
    torch.testing.assert_close(smoothed[0], torch.tensor([0.7, 0.1, 0.1, 0.1], dtype=torch.float64))
    torch.testing.assert_close(smoothed.sum(-1), torch.ones(5, dtype=torch.float64))


def test_smoothing_by_nothing_changes_nothing(logits: torch.Tensor, target: torch.Tensor) -> None:
    for smooth in (smooth_labels, smooth_off_label):
        assert torch.equal(smooth(target, logits, 0.0), probabilities(target, logits))


def test_soft_targets_are_smoothed_too(logits: torch.Tensor) -> None:
    soft = logits.softmax(-1)
    torch.testing.assert_close(smooth_labels(soft, logits, 0.2), 0.8 * soft + 0.05)


def test_an_index_outside_the_classes_marks_nothing() -> None:
    assert not label_mask(torch.tensor([-100]), 3).any()


def test_a_row_of_weight_zero_does_not_count(logits: torch.Tensor, target: torch.Tensor) -> None:
    weight = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(cross_entropy(logits, target, weight=weight), cross_entropy(logits[:4], target[:4]))


def test_an_ignored_row_does_not_count_with_weight_zero(logits: torch.Tensor, target: torch.Tensor) -> None:
    ignored = torch.where(torch.arange(5) == 4, -100, target)
    weight = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(cross_entropy(logits, ignored, weight=weight), cross_entropy(logits[:4], target[:4]))
