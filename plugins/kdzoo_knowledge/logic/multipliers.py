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


def due(iteration: int, last: int, *, warmup: int, every: int) -> bool:
    """Whether a dual update falls on this iteration (from 0), the last one having been at `last` (0 for none)."""
    return iteration > warmup and iteration - last > every


def update_times(iterations: int, *, warmup: int, every: int, increase: int) -> list[int]:
    """At which of so many iterations dual updates fall, if the distance grows by `increase` at each.

    >>> update_times(80, warmup=10, every=10, increase=5)
    [11, 27, 48, 74]
    """
    times: list[int] = []
    for iteration in range(iterations):
        if due(iteration, times[-1] if times else 0, warmup=warmup, every=every + increase * len(times)):
            times.append(iteration)
    return times


class AdamAscent:
    """DomiKnowS's ascent: Adam on the negated gradient, its rate times sqrt((k + 1) / (k + 2)) after update k = 1, 2, ...

    State as tensors (K,): `mean`, `square` and the number of updates, so that it can be kept in buffers.
    """

    def __init__(self, rules: int, *, rate: float = 0.05, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.rate, self.beta1, self.beta2, self.eps = rate, beta1, beta2, eps
        self.mean, self.square, self.updates = torch.zeros(rules), torch.zeros(rules), 0

    def rate_now(self) -> float:
        """rate * prod_k sqrt((k + 1) / (k + 2)) = rate / sqrt(1 + updates / 2)."""
        return decayed(self.rate, self.updates, 0.5)

    def step(self, multipliers: Tensor, violations: Tensor) -> Tensor:
        """(K,): the multipliers after one update."""
        gradient = -violations
        self.mean = self.beta1 * self.mean.to(gradient) + (1 - self.beta1) * gradient
        self.square = self.beta2 * self.square.to(gradient) + (1 - self.beta2) * gradient.square()
        rate, count = self.rate_now(), self.updates + 1
        mean, square = self.mean / (1 - self.beta1**count), self.square / (1 - self.beta2**count)
        self.updates = count
        return multipliers - rate * mean / (square.sqrt() + self.eps)
