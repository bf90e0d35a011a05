"""Another sample of the same class, drawn by a number of the sample's own: no batch has to be arranged for it."""

from __future__ import annotations

import torch
from torch import Tensor


class Classmates:
    """The members of each class.

    Args:
        labels: (N,) the class of each sample.
    """

    def __init__(self, labels: Tensor) -> None:
        counts = torch.bincount(labels)
        self.members = labels.argsort(stable=True)  # class after class
        self.count = counts[labels]  # (N,) of each sample's class
        self.start = (counts.cumsum(0) - counts)[labels]
        self.rank = torch.empty_like(self.members)
        self.rank[self.members] = torch.arange(len(labels), device=labels.device)
        self.rank -= self.start

    def of(self, index: Tensor, uniform: Tensor) -> Tensor:
        """A classmate of each sample `index` (B,), all others equally likely for `uniform` (B,) in [0, 1).

        A sample that is alone in its class is its own.
        """
        count = self.count[index]
        step = 1 + (uniform.double() * (count - 1)).long()
        return self.members[self.start[index] + (self.rank[index] + step) % count]
