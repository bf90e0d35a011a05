"""How alike classes are to a classifier, one distribution a class: what it knows of its classes without any example."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32

Negatives = Literal["signed", "clamp", "shift"]
"""What the power is taken of where a cosine c may be negative: sign(c)|c|, max(c, 0), or (1 + c) / 2."""


@in_float32
def class_cosines(weight: Tensor) -> Tensor:
    """(C, C) cosines of the rows of a classifier's weight (C, D); a row of zeros has the cosine 0 with all others."""
    unit = torch.nn.functional.normalize(weight, dim=-1)
    return unit @ unit.T


@in_float32
def log_similarity(weight: Tensor, *, alpha: float = 1.0, temperature: float = 0.2, negatives: Negatives = "signed") -> Tensor:
    """(C, C) log-distributions `log_softmax(f(cos(w_y, w_k))^alpha / temperature)` over k, one row a class y.

    Args: weight: the classifier's (C, D).

    >>> log_similarity(torch.eye(3), temperature=1.0).exp()[0]  # e, 1 and 1 in proportion
    tensor([0.5761, 0.2119, 0.2119])
    """
    cosine = class_cosines(weight)
    if negatives == "signed":
        powered = cosine.sign() * cosine.abs() ** alpha
    else:
        base = cosine.clamp(min=0) if negatives == "clamp" else (1 + cosine.clamp(min=-1)) / 2
        powered = base**alpha
    return (powered / temperature).log_softmax(-1)
