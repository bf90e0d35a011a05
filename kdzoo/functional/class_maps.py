"""Class activation maps: where a classifier sees each class.

Guo, Yan, Li, Lin, "Class Attention Transfer Based Knowledge Distillation", CVPR 2023, arXiv 2304.12777.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.features import unit
from kdzoo.functional.float32 import in_float32


def class_maps(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear classifier (K, C) read at every position: (B, C, H, W) -> (B, K, H, W), whose mean over H, W is the logits."""
    maps = torch.einsum("bchw,kc->bkhw", features, weight)
    return maps if bias is None else maps + bias.view(1, -1, 1, 1)


@in_float32
def class_attention(student: Tensor, teacher: Tensor, *, resolution: int = 2) -> Tensor:
    """Mean squared error of class maps (B, K, H, W) average-pooled to `resolution` positions a side; sizes may differ.

    >>> maps = torch.arange(24.0).reshape(2, 3, 2, 2)
    >>> class_attention(maps, maps)
    tensor(0.)
    """
    s, t = (F.adaptive_avg_pool2d(x, resolution) for x in (student, teacher))
    return (s - t).square().mean()


@in_float32
def class_attention_unit(student: Tensor, teacher: Tensor, *, resolution: int = 2) -> Tensor:
    """As `class_attention`, each pooled class map of unit length: the authors' choice between unlike architectures.

    >>> maps = torch.arange(24.0).reshape(2, 3, 2, 2)
    >>> class_attention_unit(maps, maps)
    tensor(0.)
    """
    s, t = (unit(F.adaptive_avg_pool2d(x, resolution), (2, 3)) for x in (student, teacher))
    return (s - t).square().mean()
