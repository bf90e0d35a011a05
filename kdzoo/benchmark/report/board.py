"""What a comparison comes to: rows of results, best first, and what a reader should know about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from kdzoo.benchmark.report.comparison import Comparison
from kdzoo.benchmark.report.ranking import Ranking
from kdzoo.benchmark.report.statistics import Summary, summarize


@dataclass(frozen=True)
class Share:
    """A share of a gap, and its interval where it has one of finite length."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """A row's results on the test split.

    Attributes:
        label: with pairs and a grid, with its pair and values. kind: `alone` is the student without a teacher.
        expected, failed: cells planned and failed; `last.n` are finished.
        values: seed -> the last epoch's metric.
        last: that over the seeds; best: the same with the weights of the epoch that was best on validation.
        also: the last epoch's further metrics over the seeds. published: of the table, or the row's `reference`.
        difference: seed by seed to the baseline, None for a teacher and for the baseline itself.
        comparison: the same with all that is to be known about it; over_alone: to the student alone.
        robust: the mean of the middle half of the values. gap: share of the way from the student alone to the teacher.
        fidelity: teacher -> how far the answers are the teacher's, over the seeds. figures: mean costs by name.
        parameters: of what is deployed. seconds: mean wall time of a run.
        guessing: no seed is a tenth better than chance.
        of: the only row with this teacher, where others have others.
        unpackaged: plugins of this row that are in no installed package.
        pair: the pair or data set that it belongs to, where there are several.
        tuned: `trials`, how many of them `failed`, `space` and chosen `values` of a search on validation; None without one.
    """

    label: str
    kind: Literal["teacher", "alone", "method"]
    expected: int
    failed: int
    values: Mapping[int, float]
    last: Summary
    best: Summary
    also: Mapping[str, Summary] = field(default_factory=dict)
    published: Mapping[str, Any] | None = None
    difference: Summary | None = None
    comparison: Comparison | None = None
    over_alone: Comparison | None = None
    robust: float | None = None
    gap: Share | None = None
    fidelity: Mapping[str, Mapping[str, Summary]] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    parameters: int | None = None
    seconds: float | None = None
    baseline: bool = False
    of: str | None = None
    unpackaged: Sequence[str] = ()
    guessing: bool = False
    tuned: Mapping[str, Any] | None = None
    pair: str | None = None

    @property
    def name(self) -> str:
        """What it is called among the rows of its pair."""
        return self.label if self.pair is None else self.label.replace(f", {self.pair}", "", 1)


@dataclass(frozen=True)
class Board:
    """All rows, the best mean first, and what a reader should know about them.

    Attributes:
        also: further metrics that have a column.
        baseline: label of the row that others are compared with.
        without: controls that are not among the rows.
        ranking: of the rows over pairs and the points of a grid. chance: the metric of guessing. bounds: of the metric.
        failures: sentence of each failed cell, by `row, seed k`.
        warnings: what makes the rows unequal. notes: of the recipe, and on the data.
    """

    folder: Path
    name: str
    metric: str
    higher_is_better: bool
    also: Sequence[str]
    baseline: str
    rows: Sequence[Row]
    failures: Mapping[str, str]
    warnings: Sequence[str]
    notes: Sequence[str]
    without: Sequence[str] = ()
    ranking: Ranking | None = None
    chance: float | None = None
    bounds: tuple[float, float] | None = None

    @property
    def teachers(self) -> list[Row]:
        """The rows of those teachers that are not of one row alone."""
        return [row for row in self.rows if row.kind == "teacher" and row.last.mean is not None and not row.of]

    def by_pair(self) -> list[Board]:
        """Boards of one pair (or data set) each; itself where there are none."""
        pairs = dict.fromkeys(row.pair for row in self.rows)
        return [replace(self, rows=[row for row in self.rows if row.pair == pair]) for pair in pairs]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "folder": str(self.folder)}


def further(tests: Iterable[Mapping[str, float]], names: Sequence[str]) -> dict[str, Summary]:
    """Each named metric over the seeds; those that lack it do not count."""
    return {name: summarize([test[name] for test in tests if name in test]) for name in names}
