"""A loss is a mean over rows: samples of a batch, tokens of a text, queries of a graph."""

from __future__ import annotations

import torch
from torch import Tensor


def row_mean(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of `values` (R,) over the rows; with `weight` (R,), `sum(weight * values) / sum(weight)`.

    A weight of zero masks a row, whatever its value is. Where no row is left the mean is 0, so that a micro-batch
    without a counted row adds nothing.

    >>> row_mean(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 0.0]))
    tensor(1.)
    """
    if weight is None:
        return values.mean()
    kept = torch.where(weight == 0, torch.zeros_like(values), values)
    total = weight.sum()
    return (weight * kept).sum() / torch.where(total == 0, torch.ones_like(total), total)
