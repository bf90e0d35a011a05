"""Two rows compared at the same seeds: the difference with both its errors, how sure it is, and what could have been seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kdzoo.benchmark.report.evidence import Probability, holm, seeds_needed, sign_flip_p, smallest_p, superiority
from kdzoo.benchmark.report.resampling import Scores, paired_items
from kdzoo.benchmark.report.statistics import Summary, differences, summarize

SURE = 0.05
PERCENT, FRACTION = 0.2, 0.002
"""What is worth resolving, of metrics in percents and of those between 0 and 1."""


@dataclass(frozen=True)
class Measured:
    """A row's results: seed -> headline metric, and seed -> the score of each test item (None where none was saved)."""

    label: str
    values: Mapping[int, float]
    scores: Mapping[int, Scores | None]


@dataclass(frozen=True)
class Comparison:
    """A row minus another, `against`.

    Attributes:
        seeds: the differences seed by seed. items: the 95 % interval of the mean difference over the test items.
        p: exact, by sign flips; smallest_p: that so many seeds can reach; corrected: by Holm, over its family of comparisons.
        better: how often the row is better at the same seed.
        needed: seeds for a half-width of `resolve`. declared: it was named before there were results.
    """

    against: str
    seeds: Summary
    items: tuple[float, float] | None
    p: float | None
    smallest_p: float | None
    corrected: float | None
    better: Probability | None
    needed: int | None
    resolve: float
    declared: bool = False

    @property
    def half_width(self) -> float | None:
        """Half of the seeds' interval: a smaller difference could not have been seen."""
        return None if self.seeds.interval is None else (self.seeds.interval[1] - self.seeds.interval[0]) / 2

    @property
    def less_than(self) -> float | None:
        """The largest difference, either way, that the wider of both intervals admits."""
        bounds = [bound for interval in (self.seeds.interval, self.items) if interval for bound in interval]
        return max(map(abs, bounds)) if self.seeds.interval else None

    @property
    def sign(self) -> int:
        """1 or -1 where zero lies outside both intervals, on that side; else 0."""
        intervals = [interval for interval in (self.seeds.interval, self.items) if interval]
        if self.seeds.interval is None:
            return 0
        return 1 if all(low > 0 for low, _ in intervals) else -1 if all(high < 0 for _, high in intervals) else 0

    @property
    def sure(self) -> bool:
        """Whether the corrected p is at most 0.05, too."""
        return self.sign != 0 and self.corrected is not None and self.corrected <= SURE


def compare(
    own: Measured, other: Measured, *, higher_is_better: bool, resolve: float | None, declared: bool = False
) -> Comparison:
    """Compare two rows over the seeds that both have; the p is not corrected yet.

    Args:
        resolve: the difference that is worth seeing, in the metric's unit; None takes 0.2 of percents and 0.002 of fractions.
    """
    seeds = differences(own.values, other.values)
    summary = summarize(seeds)
    wanted = resolve if resolve is not None else default_resolution([*own.values.values(), *other.values.values()])
    return Comparison(
        against=other.label,
        seeds=summary,
        items=paired_items(own.scores, other.scores),
        p=sign_flip_p(seeds),
        smallest_p=smallest_p(len(seeds)),
        corrected=None,
        better=superiority(seeds, higher_is_better=higher_is_better),
        needed=seeds_needed(summary.sd, wanted),
        resolve=wanted,
        declared=declared,
    )


def default_resolution(values: Sequence[float]) -> float:
    """What is worth resolving where the recipe does not say."""
    return FRACTION if all(0 <= value <= 1 for value in values) else PERCENT


def corrected(comparisons: Mapping[str, Comparison | None]) -> dict[str, Comparison | None]:
    """With Holm's correction: those that were declared beforehand are one family, the others another."""
    found = dict(comparisons)
    for declared in (True, False):
        family = {row: own.p for row, own in comparisons.items() if own is not None and own.declared is declared}
        for row, p in holm(family).items():
            own = found[row]
            assert own is not None
            found[row] = replace(own, corrected=p)
    return found
