"""Losses that compare how the samples of a batch relate to each other: (B, d) in, so widths may differ.

They need more than one sample, and they change with the composition of the batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.features import gram, length, unit
from kdzoo.functional.float32 import in_float32


@in_float32
def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """`||G_s - G_t||_F^2 / B^2`, G the (B, B) inner products of flattened features with unit rows.

    Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv 1907.09682.

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> similarity_preserving(3 * features, features)
    tensor(0.)
    """
    return (unit(gram(student.flatten(1))) - unit(gram(teacher.flatten(1)))).square().mean()


@in_float32
def distance_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 between pairwise distances, each divided by its batch's mean distance; mean over all B^2 pairs.

    Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068 (RKD-D).

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    >>> round(distance_relation(3 * features, features).item(), 4)  # distances over their mean
    0.0
    """
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


@in_float32
def angle_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 between the cosines of the angles that all triplets span; mean over B^3 triplets (RKD-A of the same paper).

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    >>> round(angle_relation(3 * features, features).item(), 4)
    0.0
    """
    return F.smooth_l1_loss(_cosines(student), _cosines(teacher))


@in_float32
def probability_transfer(student: Tensor, teacher: Tensor, *, eps: float = 1e-7) -> Tensor:
    """Mean over all B^2 pairs of `p_t log(p_t / p_s)`, p the cosine similarity in [0, 1] with rows that sum to one.

    The mean over pairs, as in the reference code, is why the usual weight is 30000.
    Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv 1803.10837.

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    >>> round(probability_transfer(features, features).item(), 4)
    0.0
    """
    p_s, p_t = _neighborhood(student, eps), _neighborhood(teacher, eps)
    return (p_t * ((p_t + eps) / (p_s + eps)).log()).mean()


def gaussian_correlation(embedding: Tensor, *, gamma: float = 0.4, order: int = 2) -> Tensor:
    """Taylor series of the Gaussian kernel between unit rows: (B, d) -> (B, B).

    `exp(-2 gamma) sum_p (2 gamma)^p / p! (x_i . x_j)^p` for p = 0..order; the paper uses gamma 0.4 and order 2.
    """
    similarity = gram(embedding)
    series = [(2 * gamma) ** p / math.factorial(p) * similarity**p for p in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(series).sum(0)


@in_float32
def correlation_congruence(student: Tensor, teacher: Tensor, *, gamma: float = 0.4, order: int = 2) -> Tensor:
    """Mean squared gap of the two Gaussian correlation matrices of unit rows (B, d).

    Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019, arXiv 1904.01802.

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    >>> correlation_congruence(features, features)
    tensor(0.)
    """
    gap = gaussian_correlation(unit(student), gamma=gamma, order=order) - gaussian_correlation(
        unit(teacher), gamma=gamma, order=order
    )
    return gap.square().mean()


@in_float32
def neighbor_correlation(student: Tensor, teacher: Tensor) -> Tensor:
    """RepDistiller's "correlation", not the paper's: mean over rows of `|e_s - e_t|_i . |e_s - e_t|_{i+1}`.

    It compares embeddings (B, d) of equal width and depends on the order of the batch.

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    >>> neighbor_correlation(features, features)
    tensor(0.)
    """
    gap = (student - teacher).abs()
    return (gap[:-1] * gap[1:]).sum(1).mean()


def _cosines(x: Tensor) -> Tensor:
    """(B, B, B) cosines of the angle at i between j and k."""
    return gram(unit(x[None] - x[:, None]))


def _relative_distances(x: Tensor) -> Tensor:
    """(B, B) Euclidean distances over their mean off the diagonal."""
    count = x.shape[0]
    apart = 1 - torch.eye(count, dtype=x.dtype, device=x.device)
    distances = apart * length(x[None] - x[:, None], floor=1e-6)
    return distances / (distances.sum() / max(count * (count - 1), 1))


def _neighborhood(x: Tensor, eps: float) -> Tensor:
    """(B, B) rows of cosine similarities mapped to [0, 1] and normalized to one."""
    cosine = gram(x / (length(x, keepdim=True) + eps))
    similarity = (cosine + 1) / 2
    return similarity / similarity.sum(1, keepdim=True)
