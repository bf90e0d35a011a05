"""Means, standard deviations and t intervals over a few seeds. Pure functions of numbers.

With n seeds, an interval is mean +/- t(0.975, n - 1) sd / sqrt(n), where sd has n - 1 in its denominator. It supposes that the
values scatter about normally; with three or four seeds that cannot be checked, and the interval is wide.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kdzoo.ranges import at_least, strictly_between

LEVEL = 0.95
ROUNDING = 1e-9
"""The share of a value below which a difference is float arithmetic and no difference: a tie must stay a tie."""
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
    return summarize(differences(values, baseline), level=level)


def differences(values: Mapping[K, float], baseline: Mapping[K, float]) -> list[float]:
    """`values - baseline` for each key (seed) that both have; zero where they differ by rounding alone."""
    pairs = [(value, baseline[key]) for key, value in values.items() if key in baseline]
    return [0.0 if math.isclose(own, other, rel_tol=ROUNDING) else own - other for own, other in pairs]


def with_ties(values: Sequence[float]) -> list[float]:
    """The values, where those that differ by rounding alone are one value: so that they share a rank."""
    same = dict[float, float]()
    last = None
    for value in sorted(values):
        if last is None or not math.isclose(value, last, rel_tol=ROUNDING):
            last = value
        same[value] = last
    return [same[value] for value in values]


def t_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t stays below with `probability`, in (0, 1), for `degrees` >= 1 of freedom."""
    strictly_between(0, 1, probability=probability)
    at_least(1, degrees=degrees)
    from scipy import stats  # takes a while, and only reports need it

    return float(stats.t.ppf(probability, degrees))
