"""DIST's two parts: Pearson's correlation of predictions by sample and by class (Huang et al., arXiv 2205.10536)."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.row_mean import row_mean


def pearson(a: Tensor, b: Tensor, *, weight: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """Pearson's correlation over the last dimension; `weight` (of that length) weighs the observations.

    >>> pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 5.0, 7.0]))
    tensor(1.0000)
    """
    w = torch.ones_like(a) if weight is None else weight.to(a.dtype).expand_as(a)
    total = w.sum(-1, keepdim=True)
    a, b = (w.sqrt() * (x - (w * x).sum(-1, keepdim=True) / total) for x in (a, b))
    correlation: Tensor = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + eps)
    return correlation


@in_float32
def inter_class(student: Tensor, teacher: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None) -> Tensor:
    """`T^2 (1 - mean_r rho)` between the predictions of each sample. Logits (R, C).

    >>> logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    >>> round(inter_class(logits, logits, temperature=1.0).item(), 4)
    0.0
    """
    p_s, p_t = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    return temperature**2 * (1 - row_mean(pearson(p_s, p_t), weight))


@in_float32
def intra_class(student: Tensor, teacher: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None) -> Tensor:
    """`T^2 (1 - mean_c rho)` between the predictions for each class over the batch. Logits (R, C).

    >>> logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    >>> round(intra_class(logits, logits, temperature=1.0).item(), 4)
    0.0
    """
    p_s, p_t = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    return temperature**2 * (1 - pearson(p_s.mT, p_t.mT, weight=weight).mean())
