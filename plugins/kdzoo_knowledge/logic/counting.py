"""How many of independent events happen: the Poisson-binomial distribution.

Shapes: probabilities x (..., n); results (..., n + 1).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.functional.float32 import in_float32


@in_float32
def count_distribution(x: Tensor) -> Tensor:
    """P(count = 0), ..., P(count = n), one event after the other in O(n^2); sums to 1.

    >>> count_distribution(torch.tensor([0.5, 0.5]))
    tensor([0.2500, 0.5000, 0.2500])
    """
    counts = torch.ones_like(x[..., :1])
    for event in x.unbind(-1):
        happens = event.unsqueeze(-1)
        counts = F.pad(counts * (1 - happens), (0, 1)) + F.pad(counts * happens, (1, 0))
    return counts


@in_float32
def log_count_distribution(yes: Tensor, no: Tensor) -> Tensor:
    """The same in logarithms, from log x and log(1 - x) (..., n), for probabilities that underflow."""
    counts = torch.zeros_like(yes[..., :1])
    for happens, fails in zip(yes.unbind(-1), no.unbind(-1), strict=True):
        stay, rise = counts + fails.unsqueeze(-1), counts + happens.unsqueeze(-1)
        inner = torch.logaddexp(stay[..., 1:], rise[..., :-1])
        counts = torch.cat([stay[..., :1], inner, rise[..., -1:]], -1)
    return counts
