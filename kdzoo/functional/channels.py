"""Losses that compare channels of feature maps (B, C, H, W): their selectivity, distribution, correlation and moments."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.features import FLOOR, gram, pooled_to, same_size, standardized, unit
from kdzoo.functional.float32 import in_float32


@in_float32
def neuron_selectivity(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared MMD between the channels' activation patterns with kernel `k(a, b) = (a . b)^2`. Channels may differ.

    Each channel is one sample, a unit vector over positions; `mean k(t, t) + mean k(s, s) - 2 mean k(s, t)`, mean over B.
    Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", arXiv 1707.01219.

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> neuron_selectivity(maps, maps)
    tensor(0.)
    """
    student, teacher = same_size(student, teacher)
    s, t = unit(student.flatten(2)), unit(teacher.flatten(2))  # (B, C, H*W)
    cross = (s @ t.transpose(1, 2)).square().mean()
    return gram(t).square().mean() + gram(s).square().mean() - 2 * cross


@in_float32
def channel_distribution(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """`T^2` times the mean over batch and channels of KL(p_t || p_s), p the softmax of a channel over its positions.

    Shu, Liu, Gao, Yan, Shen, "Channel-wise Knowledge Distillation for Dense Prediction", arXiv 2011.13256.

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> channel_distribution(maps + 5, maps)  # a softmax does not see a shift
    tensor(0.)
    """
    student, teacher = same_size(student, teacher)
    log_s, log_t = ((x.flatten(2) / temperature).log_softmax(-1) for x in (student, teacher))
    return temperature**2 * kl_rows(log_s, log_t).mean()


@in_float32
def pearson_features(student: Tensor, teacher: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Half the mean squared error of maps standardized per channel over batch and positions: `1 - Pearson` up to n/(n-1).

    A student map of another size is resized bilinearly. Channels must agree.
    Cao et al., "PKD: General Distillation Framework for Object Detectors via Pearson Correlation", arXiv 2207.02039.

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> round(pearson_features(2 * maps + 1, maps).item(), 4)  # scale and shift do not count
    0.0
    """
    if student.shape[-2:] != teacher.shape[-2:]:
        student = F.interpolate(student, size=teacher.shape[-2:], mode="bilinear", align_corners=False)
    over = (0, 2, 3)
    return (standardized(student, over, eps=eps) - standardized(teacher, over, eps=eps)).square().mean() / 2


@in_float32
def channel_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over batch and channels of `||G_s - G_t||^2`, G the (C, C) inner products of channels with unit rows.

    Channels must agree, sizes may differ. torchdistill divides by the batch size once more.
    Liu et al., "Exploring Inter-Channel Correlation for Diversity-preserved Knowledge Distillation", ICCV 2021.

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> channel_correlation(maps, maps)
    tensor(0.)
    """
    gap = unit(gram(student.flatten(2))) - unit(gram(teacher.flatten(2)))
    return gap.square().sum(-1).mean()


@in_float32
def channel_moments(student: Tensor, teacher: Tensor, *, mean_weight: float = 4.0, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Gaussian Wasserstein distance per channel, as its two parts: squared gaps of means (times weight) and deviations.

    Both are summed over channels and averaged over the batch; add them for the loss. `std = sqrt(var + eps)`. Channels
    must agree. Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation",
    NeurIPS 2024, arXiv 2412.08139 (WKD-F with one grid cell).

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> [round(part.item(), 4) for part in channel_moments(maps, maps)]
    [0.0, 0.0]
    """
    s, t = student.flatten(2), teacher.flatten(2)
    means = (s.mean(2) - t.mean(2)).square().sum(1).mean()
    deviations = (_deviation(s, eps) - _deviation(t, eps)).square().sum(1).mean()
    return mean_weight * means, deviations


@in_float32
def many_to_one(student: Tensor, teacher: Tensor) -> Tensor:
    """`N` times the mean squared error of N student representations (B, N*C, H, W) to the teacher's one (B, C, H, W).

    A larger teacher map is max-pooled. Liu, Li, Li, Yao, "NORM: Knowledge Distillation via N-to-One Representation
    Matching", ICLR 2023, arXiv 2305.13803.

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> many_to_one(maps.repeat(1, 3, 1, 1), maps)
    tensor(0.)
    """
    if teacher.shape[-2:] != student.shape[-2:]:
        teacher = F.adaptive_max_pool2d(teacher, tuple(student.shape[-2:]))
    count = student.shape[1] // teacher.shape[1]
    return count * (student - teacher.repeat(1, count, 1, 1)).square().mean()


@in_float32
def generated_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared error between a generated and the teacher's map, summed over C, H and W, mean over the batch.

    >>> generated_gap(torch.ones(2, 4, 3, 3), torch.zeros(2, 4, 3, 3))
    tensor(36.)
    """
    return (pooled_to(student, (teacher.shape[-2], teacher.shape[-1])) - teacher).square().sum((1, 2, 3)).mean()


def _deviation(x: Tensor, eps: float) -> Tensor:
    """Standard deviation over the last dimension; Bessel's correction where there is more than one value."""
    return (x.var(-1, correction=min(1, x.shape[-1] - 1)) + max(eps, FLOOR**2)).sqrt()
