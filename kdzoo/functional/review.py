"""Hierarchical context: one map compared at several scales, as ReviewKD does after its fusion.

Chen, Liu, Zhao, Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.features import pooled_to
from kdzoo.functional.float32 import in_float32


@in_float32
def hierarchical_context(student: Tensor, teacher: Tensor) -> Tensor:
    """Weighted mean squared error of maps (B, C, H, W) and of their poolings to 4, 2 and 1 positions a side.

    Weights 1, 1/2, 1/4, 1/8 for the scales that are smaller than the map, divided by their sum.

    >>> maps = torch.arange(64.0).reshape(1, 4, 4, 4)
    >>> hierarchical_context(maps, maps)
    tensor(0.)
    """
    loss = (student - teacher).square().mean()
    total = weight = 1.0
    for side in (4, 2, 1):
        if side >= student.shape[2]:
            continue
        weight /= 2
        loss = loss + weight * (pooled_to(student, (side, side)) - pooled_to(teacher, (side, side))).square().mean()
        total += weight
    return loss / total
