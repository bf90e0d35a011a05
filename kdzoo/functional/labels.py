"""Targets in both forms: class indices (R,) or probabilities (R, C); and the smoothed targets made of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.row_mean import row_mean


def label_mask(label: Tensor, classes: int) -> Tensor:
    """True at the label: (R,) integers to (R, C) bool. An index outside the classes, such as -100, marks nothing."""
    return label.unsqueeze(-1) == torch.arange(classes, device=label.device)


def probabilities(target: Tensor, like: Tensor) -> Tensor:
    """The target as a distribution per row, in the dtype of the logits `like` (R, C); soft targets stay as they are."""
    if target.is_floating_point():
        return target.to(like.dtype)
    return label_mask(target, like.shape[-1]).to(like.dtype)


def hard_label(target: Tensor) -> Tensor:
    """The label per row (R,): the target itself, or the most probable class of a soft one."""
    return target.argmax(-1) if target.is_floating_point() else target


@in_float32
def cross_entropy(student: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean over rows of `-sum_c q_c log p_c`: logits (R, C), target (R,) or (R, C).

    `weight`: (R,) or None for a plain mean. Rows of label -100 are 0 but count in a plain mean: give them the weight 0.

    >>> round(cross_entropy(torch.zeros(1, 4), torch.tensor([2])).item(), 4)  # log 4
    1.3863
    """
    aim = target.to(student.dtype) if target.is_floating_point() else target
    return row_mean(functional.cross_entropy(student, aim, reduction="none"), weight)


def smooth_labels(target: Tensor, like: Tensor, alpha: float = 0.1) -> Tensor:
    """(R, C) targets `(1 - alpha) q + alpha / C`: Szegedy et al. 2016 (alpha 0.1), and `label_smoothing` of torch.

    >>> smooth_labels(torch.tensor([0]), torch.zeros(1, 4), alpha=0.2)
    tensor([[0.8500, 0.0500, 0.0500, 0.0500]])
    """
    return (1 - alpha) * probabilities(target, like) + alpha / like.shape[-1]


def smooth_off_label(target: Tensor, like: Tensor, alpha: float = 0.1) -> Tensor:
    """(R, C) targets with `1 - alpha` on the label and `alpha / (C - 1)` on each other class.

    The convention of Shen et al. 2021 and of the Tf-KD code (alpha 0.1): `smooth_labels` with `alpha C / (C - 1)`.

    >>> smooth_off_label(torch.tensor([0]), torch.zeros(1, 5), alpha=0.2)
    tensor([[0.8000, 0.0500, 0.0500, 0.0500, 0.0500]])
    """
    classes = like.shape[-1]
    return smooth_labels(target, like, alpha * classes / (classes - 1))
