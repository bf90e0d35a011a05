"""Means, standard deviations and t intervals over a few seeds. Pure functions of numbers.

With n seeds, an interval is mean +/- t(0.975, n - 1) sd / sqrt(n), where sd has n - 1 in its denominator. It supposes that the
values scatter about normally; with three or four seeds that cannot be checked, and the interval is wide.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

LEVEL = 0.95
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Summary:
    """Some values: how many, their mean (None of none), and for two or more their sd and the mean's interval."""

    n: int
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None


def summarize(values: Sequence[float], *, level: float = LEVEL) -> Summary:
    """Mean, standard deviation and the t interval of the mean at `level`."""
    n = len(values)
    if n == 0:
        return Summary(0, None, None, None)
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile((1 + level) / 2, n - 1) * sd / math.sqrt(n)
    return Summary(n, mean, sd, (mean - half, mean + half))


def paired(values: Mapping[K, float], baseline: Mapping[K, float], *, level: float = LEVEL) -> Summary:
    """Summary of the differences `values - baseline` over the keys (seeds) that both have."""
    return summarize([value - baseline[key] for key, value in values.items() if key in baseline], level=level)


def t_cdf(t: float, degrees: int) -> float:
    """Student's t distribution for a whole number of degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(1, (degrees - odd) // 2 + 1):
        total += term
        term *= cosine**2 * (2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k))
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2


def t_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t stays below with `probability`, by bisection. `probability` in [0.5, 1), `degrees` >= 1."""
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"probability must be in [0.5, 1) and degrees >= 1, got {probability} and {degrees}")
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return (low + high) / 2
