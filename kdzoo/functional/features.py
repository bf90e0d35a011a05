"""Small pieces of the feature losses: lengths and unit vectors that stay differentiable at zero, maps of equal size.

A rectified feature map holds exact zeros and whole dead channels, so norms appear at zero all the time: `sqrt` has an
infinite slope there and one NaN spreads through the student. The floor below leaves every other value as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.float32 import in_float32

FLOOR = 1e-12
"""Smallest length that is divided by, as in `torch.nn.functional.normalize`."""

Dim = int | tuple[int, ...]


def length(x: Tensor, dim: Dim = -1, *, keepdim: bool = False, floor: float = FLOOR) -> Tensor:
    """Euclidean length over `dim`, at least `floor`; below the floor the gradient is zero, not infinite."""
    return x.square().sum(dim, keepdim=keepdim).clamp_min(floor**2).sqrt()


def unit(x: Tensor, dim: Dim = -1, *, floor: float = FLOOR) -> Tensor:
    """`x` divided by its length over `dim`; a zero vector stays zero."""
    return x / length(x, dim, keepdim=True, floor=floor)


def unit_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the rows of (B, d) tensors of the Euclidean distance between their rows.

    >>> unit_gap(torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 4.0]]))
    tensor(5.)
    """
    return length(student - teacher, 1).mean()


def standardized(x: Tensor, dim: Dim, *, eps: float = 0.0) -> Tensor:
    """`(x - mean) / (std + eps)` over `dim`, std with Bessel's correction; a constant becomes zero."""
    centered = x - x.mean(dim, keepdim=True)
    deviation = x.var(dim, keepdim=True).clamp_min(FLOOR**2).sqrt()
    return centered / (deviation + eps)


@in_float32
def mean_squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over all entries of the squared gap between tensors of one shape (FitNets' hints, SimKD, SRRL).

    >>> mean_squared_error(torch.ones(2, 3), torch.zeros(2, 3))
    tensor(1.)
    """
    return (student - teacher).square().mean()


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool the larger of two maps (B, C, H, W) to the height and width of the smaller one."""
    size = min(student.shape[-2], teacher.shape[-2]), min(student.shape[-1], teacher.shape[-1])
    return pooled_to(student, size), pooled_to(teacher, size)


def pooled_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """`x` (B, C, H, W) average-pooled to `size`, untouched if it has that size already."""
    return x if tuple(x.shape[-2:]) == size else F.adaptive_avg_pool2d(x, size)


def pooled(x: Tensor) -> Tensor:
    """Mean over the positions of a map: (B, C, H, W) -> (B, C); vectors pass through."""
    return x.flatten(2).mean(2) if x.ndim > 2 else x


def gram(x: Tensor) -> Tensor:
    """Inner products of all pairs of vectors: (..., n, d) -> (..., n, n)."""
    return torch.matmul(x, x.transpose(-2, -1))
