"""What a few paired values say of the difference between two rows: tests, and what could have been seen at all.

Pure functions of numbers; scipy does the mathematics.

    sign-flip p     P(|mean of +/- d| >= |mean of d|) over all 2^n signs; no smaller than 2 / 2^n
    P(A > B)        share of seeds at which A is better, ties as one half, with Clopper and Pearson's interval
    seeds needed    the smallest n with t(0.975, n - 1) sd / sqrt(n) <= what one wants to resolve
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from kdzoo.benchmark.report.statistics import LEVEL, ROUNDING
from kdzoo.ranges import above

K = TypeVar("K")
EXACT = 16
"""Up to so many differences all signs are tried (65,536 ways); above, as many ways are drawn."""
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Probability:
    """A probability with its interval."""

    value: float
    interval: tuple[float, float]


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """The two-sided p of paired differences whose signs might as well be others; None of fewer than two.

    A sum of other signs that equals the one found counts, however float arithmetic rounds the two of them.
    """
    from scipy import stats  # takes a while, and only reports need it

    if len(differences) < 2:
        return None
    if not any(differences):
        return 1.0
    given = np.asarray(differences, float)
    enough = abs(given.sum()) - ROUNDING * np.abs(given).sum()
    found = stats.permutation_test(
        (given,),
        lambda x, axis: np.abs(np.sum(x, axis=axis)) >= enough,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=2**EXACT,
        batch=2**12,
        random_state=np.random.default_rng(0),
    )
    return float(found.pvalue)


def smallest_p(n: int) -> float | None:
    """The smallest sign-flip p that n differences can have: all of one sign."""
    return None if n < 2 else 2.0 / 2**n


def holm(ps: Mapping[K, float | None]) -> dict[K, float | None]:
    """Holm's step-down correction over all that have a p (Scand. J. Statist. 1979)."""
    known = sorted((p, number, key) for number, (key, p) in enumerate(ps.items()) if p is not None)
    corrected: dict[K, float | None] = dict.fromkeys(ps)
    running = 0.0
    for place, (p, _, key) in enumerate(known):
        running = max(running, min(1.0, (len(known) - place) * p))
        corrected[key] = running
    return corrected


def superiority(differences: Sequence[float], *, higher_is_better: bool = True, level: float = LEVEL) -> Probability | None:
    """How often the one is better than the other at the same seed; the interval counts ties against both ends."""
    from scipy import stats

    if not differences:
        return None
    n = len(differences)
    wins = sum((d > 0) if higher_is_better else (d < 0) for d in differences)
    ties = sum(d == 0 for d in differences)
    low = stats.binomtest(wins, n).proportion_ci(level, method="exact").low
    high = stats.binomtest(wins + ties, n).proportion_ci(level, method="exact").high
    return Probability((wins + ties / 2) / n, (float(low), float(high)))


def seeds_needed(sd: float | None, resolve: float, *, level: float = LEVEL) -> int | None:
    """Seeds whose interval has a half-width of at most `resolve`, if the sd stays; None if unknown or above MOST_SEEDS."""
    from scipy import stats

    above(0, resolve=resolve)
    if sd is None:
        return None
    n = np.arange(2, MOST_SEEDS + 1)
    enough = stats.t.ppf((1 + level) / 2, n - 1) * sd / np.sqrt(n) <= resolve
    return int(n[enough][0]) if enough.any() else None


def interquartile_mean(values: Sequence[float]) -> float | None:
    """The mean without the lowest and the highest quarter of the values (rounded down to whole values)."""
    from scipy import stats

    return float(stats.trim_mean(np.asarray(values, float), 0.25)) if len(values) else None


def ratio_interval(
    gains: Sequence[float], gaps: Sequence[float], *, level: float = LEVEL
) -> tuple[float, tuple[float, float] | None] | None:
    """Mean gain over mean gap of pairs, with Fieller's interval (J. R. Stat. Soc. B 1954).

    The interval is None where there is none of finite length: with fewer than two pairs, or if the mean gap might be zero.
    The ratio itself is None of no pairs, and where the mean gap is zero.
    """
    from scipy import stats

    n = len(gains)
    if not n or math.fsum(gaps) == 0:
        return None
    x, y = float(np.mean(gains)), float(np.mean(gaps))
    if n < 2:
        return x / y, None
    q = float(stats.t.ppf((1 + level) / 2, n - 1)) ** 2
    (vx, c), (_, vy) = (np.cov(gains, gaps) / n).tolist()
    a = y * y - q * vy
    if a <= 0:
        return x / y, None
    b = x * y - q * c
    root = math.sqrt(max(b * b - a * (x * x - q * vx), 0.0))
    return x / y, ((b - root) / a, (b + root) / a)
