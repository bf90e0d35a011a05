"""Lagrange multipliers of rules: dual ascent on their violations.

Nandwani, Pathak, Mausam, Singla, "A Primal Dual Formulation for Deep Learning with Constraints", NeurIPS 2019:
min over the model, max over lambda >= 0 of `loss + sum_k lambda_k violation_k`. Shapes: K rules.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ascended(multipliers: Tensor, violations: Tensor, *, rate: float) -> Tensor:
    """(K,): one projected step, max(0, lambda + rate * violation)."""
    return (multipliers + rate * violations).clamp_min(0)


def decayed(rate: float, updates: int, decay: float) -> float:
    """The rate of the update after `updates` of them: rate / sqrt(1 + decay * updates)."""
    return rate / math.sqrt(1 + decay * updates)


def cap(priority: float) -> float:
    """The largest multiplier of a rule of priority p in [0, 1]: -log(1 - p), as in DomiKnowS, where p = 1 is cut at 1e-15.

    >>> round(cap(0.9), 4)
    2.3026
    """
    return -math.log(1 - min(priority, 1 - 1e-15))


def update_times(iterations: int, *, warmup: int, every: int, increase: int) -> list[int]:
    """At which of so many iterations (from 0) dual updates fall.

    The first one after `warmup` and `every` iterations, the next more than `every` later; that distance grows by `increase` at
    each.

    >>> update_times(80, warmup=10, every=10, increase=5)
    [11, 27, 48, 74]
    """
    times: list[int] = []
    while True:
        after = max(warmup, every) if not times else times[-1] + every + increase * len(times)
        if after + 1 >= iterations:
            return times
        times.append(after + 1)


def updates_before(iteration: int, *, warmup: int, every: int, increase: int) -> int:
    """How many updates fall on the iterations before this one."""
    first = max(warmup, every) + 1
    if not increase:
        return max(0, (iteration - 1 - first) // (every + 1) + 1)
    return len(update_times(iteration, warmup=warmup, every=every, increase=increase))


def adam_ascended(
    multipliers: Tensor,
    violations: Tensor,
    moments: Tensor,
    *,
    rate: float = 0.05,
    updates: int,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[Tensor, Tensor]:
    """DomiKnowS's ascent: the multipliers (K,) and the moments (2, K) after one more update than `updates`.

    Adam on the negated gradient, its rate times sqrt((k + 1) / (k + 2)) after update k = 1, 2, ...
    """
    gradient = -violations
    mean = beta1 * moments[0] + (1 - beta1) * gradient
    square = beta2 * moments[1] + (1 - beta2) * gradient.square()
    count = updates + 1
    step = (mean / (1 - beta1**count)) / ((square / (1 - beta2**count)).sqrt() + eps)
    return multipliers - adam_rate(rate, updates) * step, torch.stack([mean, square])


def adam_rate(rate: float, updates: int) -> float:
    """rate * prod_k sqrt((k + 1) / (k + 2)) = rate / sqrt(1 + updates / 2)."""
    return decayed(rate, updates, 0.5)
