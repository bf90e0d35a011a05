"""Symmetric label noise: some training labels become another class, every other one equally likely.

As in the studies of training with wrong labels, e.g. C. Zhang and others, "Understanding deep learning requires rethinking
generalization", ICLR 2017, arXiv 1611.03530, whose corrupted labels are drawn of all classes, the right one included.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.data.augment import pick
from kdzoo.random import Streams


def noisy(labels: Tensor, share: float, *, classes: int, seed: int) -> Tensor:
    """Labels (N,) each of which is wrong with probability `share`; which ones, and how, depends on `seed` and the place."""
    if not share or classes < 2:
        return labels
    wrong, other = Streams(seed).uniform(torch.arange(len(labels), device=labels.device), 2, "label_noise").unbind(1)
    return torch.where(wrong < share, (labels + 1 + pick(other, classes - 1)) % classes, labels)
