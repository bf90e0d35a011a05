"""The error that comes from the test items: a paired bootstrap over them, on what the runs saved of each.

A run keeps `last.score` (N,) in `predictions.npz`, whose mean is its headline metric. Two rows are compared by the differences
of their scores item by item, averaged over the seeds that both have; items are then drawn with replacement. Drawing N of N
items is a multinomial draw over the distinct differences, of which accuracies have few, so a test set of any size is cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdzoo.benchmark.report.samples import DAMAGED
from kdzoo.benchmark.report.statistics import LEVEL

SCORE = "last.score"
RESAMPLES = 4000
BLOCK = 2_000_000
"""Counts drawn at once."""
Scores = NDArray[np.floating]


def item_interval(differences: Scores, *, level: float = LEVEL, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The percentile interval of the mean of paired differences (N,) over items drawn with replacement, from a fixed seed."""
    values, counts = np.unique(np.round(differences.astype(np.float64), 9), return_counts=True)
    n, share = counts.sum(), counts / counts.sum()
    random, step = np.random.default_rng(0), max(BLOCK // len(values), 1)
    means = np.concatenate(
        [random.multinomial(n, share, min(step, resamples - start)) @ values / n for start in range(0, resamples, step)]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def read_scores(folder: Path) -> Scores | None:
    """The score of each test item in a finished run's folder; None where the task keeps none."""
    try:
        with (folder / "predictions.npz").open("rb") as file, np.load(file) as kept:
            return np.asarray(kept[SCORE], np.float64) if SCORE in kept.files else None
    except DAMAGED:
        return None


def paired_items(own: Mapping[int, Scores | None], other: Mapping[int, Scores | None]) -> tuple[float, float] | None:
    """The items' interval of the difference between two rows (seed -> scores); None where they share no seed with scores."""
    pairs = [(a, b) for seed, a in own.items() if a is not None and (b := other.get(seed)) is not None and a.shape == b.shape]
    if not pairs or len({a.shape for a, _ in pairs}) > 1:
        return None
    return item_interval(np.mean([a - b for a, b in pairs], axis=0))
