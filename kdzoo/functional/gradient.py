"""Changing what flows back without changing what flows forward."""

from __future__ import annotations

from torch import Tensor


def scale_gradient(value: Tensor, factor: float | Tensor) -> Tensor:
    """`value` itself, whose gradient is multiplied by `factor`; a negative factor reverses it (Ganin et al. 2016)."""
    still = value.detach()
    return still + factor * (value - still)
