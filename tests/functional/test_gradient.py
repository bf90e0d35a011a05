"""Scaled and reversed gradients."""

import torch

from kdzoo.functional.gradient import scale_gradient


def test_the_value_is_untouched() -> None:
    x = torch.randn(5)
    assert torch.equal(scale_gradient(x, -0.3), x)


def test_the_gradient_is_multiplied() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    assert torch.autograd.grad(scale_gradient(x, -0.5) ** 2, x)[0] == -3.0


def test_a_factor_of_zero_stops_it() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    assert torch.autograd.grad(scale_gradient(x, 0.0) ** 2, x)[0] == 0.0
