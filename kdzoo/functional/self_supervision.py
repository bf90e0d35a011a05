"""Self-supervised knowledge: how alike a sample and its rotated copies look to each network.

Xu, Liu, Li, Loy, "Knowledge Distillation Meets Self-Supervision", ECCV 2020, arXiv 2006.07114.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.features import unit
from kdzoo.functional.float32 import in_float32


@in_float32
def transformation_similarity(transformed: Tensor, normal: Tensor) -> Tensor:
    """Cosine of every transformed embedding (M, d) with every normal one (B, d) -> (M, B).

    >>> vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> transformation_similarity(vectors.repeat(3, 1), vectors).shape
    torch.Size([6, 2])
    """
    return unit(transformed) @ unit(normal).T


def reliable_rows(scores: Tensor, target: Tensor, *, keep: float) -> Tensor:
    """Which rows of the teacher's (R, C) scores to trust: every right one, and of the wrong ones the share `keep`.

    Wrong rows are kept in the order of the rank that the scores give the true class `target` (R,), equal ranks in the
    order of `argsort`. Returns bool (R,).
    """
    true = scores.gather(1, target[:, None])
    rank = (scores > true).sum(1)
    wrong = (rank > 0).sum()
    kept = len(rank) - wrong + (wrong * keep).floor()
    place = torch.arange(len(rank), device=rank.device)
    return torch.zeros_like(rank, dtype=torch.bool).scatter(0, rank.argsort(), place < kept)
