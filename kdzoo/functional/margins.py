"""Losses that ask for a side, not a value: activation boundaries (AB) and the overhaul's partial distance (OFD).

Both read maps (B, C, H, W) before the rectifier, sum over C, H and W and average over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.functional.features import FLOOR, same_size
from kdzoo.functional.float32 import in_float32


@in_float32
def activation_boundary(student: Tensor, teacher: Tensor, *, margin: float = 1.0) -> Tensor:
    """Squared hinge: where the teacher is active the student should exceed `margin`, elsewhere stay below `-margin`.

    Heo, Lee, Yun, Choi, "Knowledge Transfer via Distillation of Activation Boundaries", AAAI 2019, arXiv 1811.03233.

    >>> activation_boundary(torch.full((1, 1, 1, 1), 2.0), torch.ones(1, 1, 1, 1))  # active in both, beyond the margin
    tensor(0.)
    """
    short = torch.where(teacher > 0, margin - student, margin + student).relu()
    return short.square().sum((1, 2, 3)).mean()


@in_float32
def partial_distance(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Squared distance to `max(teacher, margin)`, not counted where both target and student are off and the student is lower.

    `margin`: (C,), negative, see `negative_margin`.
    Heo, Kim, Yun, Park, Kwak, Choi, "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv 1904.01866.

    >>> partial_distance(torch.full((1, 1, 1, 1), -3.0), torch.full((1, 1, 1, 1), -1.0), torch.zeros(1, 1, 1, 1))
    tensor(0.)
    """
    target = torch.maximum(teacher, margin.view(1, -1, 1, 1))
    counted = (student > target) | (target > 0)
    return torch.where(counted, student - target, 0).square().sum((1, 2, 3)).mean()


def overhaul(student: Sequence[Tensor], teacher: Sequence[Tensor], margins: Sequence[Tensor]) -> Tensor:
    """OFD's sum of partial distances over stages, the larger map pooled; a stage counts half of the next one, the last 1."""
    total = student[0].new_zeros(())
    for ours, theirs, margin in zip(student, teacher, margins, strict=True):
        total = total / 2 + partial_distance(*same_size(ours, theirs), margin)
    return total


@in_float32
def negative_margin(mean: Tensor, deviation: Tensor, *, rare: float = 1e-3) -> Tensor:
    """E[x | x < 0] of normal x per channel (C,); `-3 deviation` where x < 0 has probability `rare` or less.

    `mean` and `deviation` are the shift and the scale of the BatchNorm before the teacher's rectifier.
    """
    deviation = deviation.abs().clamp_min(FLOOR)
    z = -mean / deviation
    log_density = -z.square() / 2 - math.log(2 * math.pi) / 2
    log_below = torch.special.log_ndtr(z)
    expected = mean - deviation * (log_density - log_below).exp()
    return torch.where(log_below > math.log(rare), expected, -3 * deviation)
