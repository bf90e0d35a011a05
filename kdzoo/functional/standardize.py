"""Logit standardization: z-scores over the classes of each row."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32


@in_float32
def standardize(logits: Tensor, *, eps: float = 1e-7) -> Tensor:
    """`(z - mean(z)) / (std(z) + eps)` per row of (R, C), with the unbiased standard deviation (divided by C - 1).

    A row of equal logits becomes zeros, with a finite gradient. Sun et al. 2024 (arXiv 2403.01427); eps of their code.

    >>> standardize(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[-1.0000,  0.0000,  1.0000]])
    """
    spread = logits.var(-1, keepdim=True)
    flat = spread == 0
    deviation = torch.where(flat, 0, torch.where(flat, 1, spread).sqrt())
    return (logits - logits.mean(-1, keepdim=True)) / (deviation + eps)
