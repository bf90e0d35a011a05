"""What happens between two layers: flow matrices (FSP) and the relation of singular vectors (KD-SVD)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.features import FLOOR, same_size, unit
from kdzoo.functional.float32 import in_float32


@in_float32
def flow_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Inner products of the channels of two maps, mean over positions: (B, C, H, W), (B, D, H, W) -> (B, C, D).

    The larger map is average-pooled. Yim, Joo, Bae, Kim, "A Gift from Knowledge Distillation", CVPR 2017.
    """
    first, second = same_size(first, second)
    a, b = first.flatten(2), second.flatten(2)
    return a @ b.transpose(1, 2) / a.shape[2]


@in_float32
def singular_relation(student: Sequence[Tensor], teacher: Sequence[Tensor], *, rank: int = 1, spare: int = 3) -> Tensor:
    """Losses (pairs,) between the relations of adjacent layers' right singular vectors, summed, mean over the batch.

    `student[i]`, `teacher[i]`: (B, n, m), equal m within a layer; see `positions_by_channels`, `rows_by_width`. The teacher
    keeps `rank` vectors, weighted by its singular values; the student offers `rank + spare`, of which the nearest is taken
    with the teacher's sign. The relation of two layers is `exp(-(v_i - v_{i+1})^2 / 8)`, elementwise.

    Signs of singular vectors are a convention of the linear-algebra library, and the value depends on the teacher's: it is
    comparable within one backend. Repeated singular values give zero, not infinite, gradients.
    Lee, Kim, Song, "Self-supervised Knowledge Distillation Using Singular Value Decomposition", ECCV 2018, arXiv 1807.06819.

    >>> layers = [torch.eye(6)[None] + shift for shift in (0.0, 0.5)]
    >>> round(singular_relation(layers, layers).item(), 4)
    0.0
    """
    pairs = [_aligned(s, t, rank, spare) for s, t in zip(student, teacher, strict=True)]
    losses = []
    for (s_low, t_low), (s_high, t_high) in pairwise(pairs):
        gap = _relation(s_low, s_high) - _relation(t_low, t_high)
        losses.append(gap.square().sum((1, 2, 3)).mean())
    return torch.stack(losses)


def positions_by_channels(features: Tensor) -> Tensor:
    """The paper's and RepDistiller's matrix: (B, C, H, W) -> (B, H*W, C); singular vectors live on channels."""
    return features.flatten(2).transpose(1, 2)


def rows_by_width(features: Tensor) -> Tensor:
    """mdistiller's matrix: (B, C, H, W) -> (B, C*H, W); another quantity under the same name, for unequal channels."""
    return features.flatten(1, 2)


def _relation(low: Tensor, high: Tensor) -> Tensor:
    return (-(high.unsqueeze(2) - low.unsqueeze(1)).square() / 8).exp()


def _aligned(student: Tensor, teacher: Tensor, rank: int, spare: int) -> tuple[Tensor, Tensor]:
    """The teacher's weighted vectors (B, m, rank), and the student's nearest ones with the teacher's signs and weights."""
    v_t, values = right_singular(teacher, rank)
    v_s, _ = right_singular(student, rank + spare)
    cosine = v_s.transpose(1, 2) @ v_t  # (B, rank + spare, rank)
    nearest = cosine.abs() == cosine.abs().amax(1, keepdim=True)
    chosen = v_s @ torch.where(nearest, cosine.sign(), 0)
    weight = unit(values).unsqueeze(1)
    return chosen * weight, v_t * weight


def right_singular(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first right singular vectors (B, m, count) and values (B, count) of (B, n, m), safe to differentiate.

    Perturbation theory: a change dA of A = M^T M turns v_i by `sum_j v_j (v_j^T dA v_i) / (l_i - l_j)`. The reciprocal of
    a (nearly) repeated eigenvalue's gap is taken as zero, where the derivative of a library's decomposition is NaN.
    """
    with torch.no_grad():
        # In double precision: the gaps between eigenvalues amplify rounding.
        _, s, basis = torch.linalg.svd(matrix.detach().double(), full_matrices=True)
        s = F.pad(s, (0, basis.shape[-1] - s.shape[-1]))
        low, high = s[:, :, None], s[:, None, :count]
        gaps = (high - low) * (high + low)  # (B, m, count): l_i - l_j
        tiny = s[:, :1, None].square() * torch.finfo(matrix.dtype).eps * s.shape[-1]
        turn = torch.where(gaps.abs() > tiny, 1 / gaps, 0).to(matrix)
        vectors, values = basis.transpose(-2, -1).to(matrix), s[:, :count].to(matrix)
    kept = vectors[..., :count]
    product = matrix.transpose(1, 2) @ matrix
    change = product - product.detach()  # zero in value; carries the derivative
    mixed = vectors.transpose(1, 2) @ change @ kept
    grown = mixed[:, : values.shape[1]].diagonal(dim1=1, dim2=2) / (2 * values.clamp_min(FLOOR))
    return kept + vectors @ (turn * mixed), values + grown
