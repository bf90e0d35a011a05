"""Squared gaps between logits, or between softened probabilities: (R, C) in, a mean over rows and classes out."""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.row_mean import row_mean


@in_float32
def soft_mse(student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 5.0, weight: Tensor | None = None) -> Tensor:
    """T^2 times the mean over rows and classes of the squared gap between softmax(z / T).

    >>> soft_mse(torch.zeros(2, 3), torch.ones(2, 3))  # a shift of the logits is nothing
    tensor(0.)
    """
    gap = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    return temperature**2 * row_mean(gap.square().mean(-1), weight)


@in_float32
def logit_mse(student: Tensor, teacher: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean over rows and classes of the squared gap between logits.

    >>> logit_mse(torch.zeros(2, 3), torch.full((2, 3), 2.0))
    tensor(4.)
    """
    return row_mean((student - teacher).square().mean(-1), weight)
