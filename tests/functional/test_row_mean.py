"""Means over rows, with and without weights."""

import torch

from kdzoo.functional.row_mean import row_mean


def test_without_weights_it_is_the_mean() -> None:
    assert row_mean(torch.tensor([1.0, 2.0, 6.0])) == 3.0


def test_equal_weights_change_nothing() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    assert row_mean(values, torch.full((3,), 7.0)) == row_mean(values)


def test_weight_zero_masks_a_row_whatever_its_value() -> None:
    values = torch.tensor([1.0, float("nan"), 3.0, float("inf")], requires_grad=True)
    mean = row_mean(values, torch.tensor([1.0, 0.0, 1.0, 0.0]))
    (gradient,) = torch.autograd.grad(mean, values)
    assert mean == 2.0
    assert gradient.tolist() == [0.5, 0.0, 0.5, 0.0]


def test_no_row_left_gives_zero_with_zero_gradient() -> None:
    values = torch.ones(2, requires_grad=True)
    mean = row_mean(values, torch.zeros(2))
    assert mean == 0.0
    assert torch.autograd.grad(mean, values)[0].tolist() == [0.0, 0.0]
