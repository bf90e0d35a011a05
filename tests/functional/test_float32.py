"""Losses compute in float32 whatever comes in."""

from typing import Any

import pytest
import torch

from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.float32 import in_float32


@in_float32
def product(a: Any, b: Any) -> Any:
    return a @ b


@in_float32
def dtypes(things: Any, *, more: Any = None) -> Any:
    return [t.dtype for t in things] + [t.dtype for t in (more or {}).values()]


def test_a_matrix_product_stays_float32_under_autocast() -> None:
    a = torch.randn(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        assert product(a, a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16, "autocast is on again after the loss"


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_tensors_are_raised_wherever_they_are(half: Any) -> None:
    low, index = torch.ones(2, dtype=half), torch.ones(2, dtype=torch.int64)
    assert dtypes([low, index], more={"x": low}) == [torch.float32, torch.int64, torch.float32]


def test_float64_passes_through() -> None:
    assert dtypes((torch.ones(2, dtype=torch.float64),)) == [torch.float64]


def test_the_gradient_comes_back_in_the_precision_of_the_argument() -> None:
    student = torch.randn(4, 5, dtype=torch.bfloat16, requires_grad=True)
    softened_kl(student, torch.randn(4, 5)).backward()
    assert student.grad.dtype == torch.bfloat16


def test_a_loss_of_large_half_logits_does_not_overflow() -> None:
    student = torch.tensor([[60000.0, -60000.0]], dtype=torch.float16)
    assert softened_kl(student, -student).isfinite()


def test_it_works_on_a_device_that_knows_no_autocast() -> None:
    with torch.device("meta"):
        assert product(torch.ones(2, 2), torch.ones(2, 2)).shape == (2, 2)
