"""The leaderboard: one line a row, over its seeds, with the teacher's and the student alone among them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from kdzoo.benchmark.report.board import Board, Row, Share, further
from kdzoo.benchmark.report.comparison import Comparison, Measured, compare, corrected
from kdzoo.benchmark.report.evidence import interquartile_mean, ratio_interval
from kdzoo.benchmark.report.fairness import notes, warnings
from kdzoo.benchmark.report.figures import fidelity, mean_figures
from kdzoo.benchmark.report.formats import markdown
from kdzoo.benchmark.report.published import published
from kdzoo.benchmark.report.ranking import Ranking, rank_rows
from kdzoo.benchmark.report.records import DECLARED, PAGE, PAIR, Record, Records
from kdzoo.benchmark.report.resampling import read_scores
from kdzoo.benchmark.report.statistics import paired, summarize
from kdzoo.benchmark.report.teacher_rows import teacher_rows, usual_teacher
from kdzoo.errors import MissingError, RecipeError

FRAME = "width: 100%; height: 900px; border: 0"
GUESSING = 1.1
"""A row none of whose seeds is better than chance by this factor learned nothing."""


class Leaderboard(Board):
    """A board that a script prints, `print(kdzoo.bench("quickstart").markdown())`, and a notebook shows."""

    def markdown(self) -> str:
        """As a table in Markdown, with what belongs under it."""
        return markdown(self)

    @property
    def table(self) -> list[dict[str, Any]]:
        """The rows as numbers, best first: `row`, `kind`, `seeds`, `failed`, by the metric's name its mean over seeds, `sd`,
        `best` (of the epoch that was best on validation), `difference` to the baseline with `low` and `high` of its 95 %
        interval, the mean of each further metric, `parameters` and `seconds`. What is not known is None.
        """
        return [_numbers(row, self.metric) for row in self.rows]

    def to_pandas(self) -> Any:
        """`table` as a pandas DataFrame, indexed by row. Raises MissingError: pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise MissingError("to_pandas needs pandas, which is not installed. Run: pip install pandas") from None
        return pandas.DataFrame(self.table).set_index("row")

    def _repr_html_(self) -> str:
        """In a notebook: the report's page, in a frame of its own."""
        try:
            page = (self.folder / PAGE).read_text("utf-8")
        except OSError:
            return f"<pre>{html.escape(self.markdown())}</pre>"
        return f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(self.name)}" style="{FRAME}"></iframe>'


def leaderboard(records: Records) -> Leaderboard:
    """Compute it from what is on disk. Raises RecipeError for cells of different metrics."""
    parts = [_Found(part) for part in records.by_pair()]
    found = _Found(records)
    rows = _with_correction([part.row(row) for part in parts for row in part.rows.values()])
    rows += [row for part in parts for row in part.teachers()]
    pairs = [part.pair for part in parts]
    rows = sorted(rows, key=lambda row: (pairs.index(row.pair), *_order(row, found.higher)))
    failures = {f"{cell.row}, seed {cell.seed}": cell.error for cell in records.cells if cell.error}
    return Leaderboard(
        folder=records.folder,
        name=records.plan["name"],
        metric=found.metric,
        higher_is_better=found.higher,
        also=records.also,
        baseline=records.plan["baseline"],
        rows=rows,
        failures=failures,
        warnings=warnings(records),
        notes=notes(records),
        without=records.plan.get("without", ()),
        ranking=ranking(parts),
        chance=found.said("chance"),
        bounds=found.said("bounds"),
    )


class _Found:
    """What the finished cells hold, by row."""

    def __init__(self, records: Records) -> None:
        self.records, self.plan = records, records.plan
        self.metric: str = self.said("metric", "metric")
        metrics = {cell.values["metric"]: cell.row for cell in records.done if cell.values}
        if len(metrics) > 1:
            named = " and ".join(f"{metric} ({row})" for metric, row in metrics.items())
            raise RecipeError(f"results of different metrics cannot stand in one table: {named}.")
        self.higher: bool = self.said("higher_is_better", True)
        self.rows = {row["row"]: row for row in records.plan["rows"]}
        self.pair: str | None = next((row["point"].get(PAIR) for row in self.rows.values()), None)

    def said(self, key: str, default: Any = None) -> Any:
        """What any result says of the task."""
        results = [cell.values for cell in self.records.done] + list(self.records.teachers)
        return next((values[key] for values in results if values is not None and key in values), default)

    @cached_property
    def cells(self) -> dict[str, list[Record]]:
        by_row: dict[str, list[Record]] = {name: [] for name in self.rows}
        for cell in self.records.cells:
            by_row[cell.row].append(cell)
        return by_row

    @cached_property
    def measured(self) -> dict[str, Measured]:
        return {
            name: Measured(
                name,
                {cell.seed: _test(cell, "last", self.metric) for cell in cells if cell.values},
                {cell.seed: read_scores(cell.folder) for cell in cells if cell.values},
            )
            for name, cells in self.cells.items()
        }

    def at_same_point(self, row: Mapping[str, Any], label: str) -> Measured:
        """The row of that label at the same pair and values of the grid; without results if there is none."""
        names = [r["row"] for r in self.plan["rows"] if r["label"] == label and r["point"] == row["point"]]
        return self.measured[names[0]] if names else Measured(label, {}, {})

    def teachers(self) -> list[Row]:
        """The rows of the teachers, by the name of the pair where there are several."""
        rows = teacher_rows(self.records, self.metric, self.further_metrics)
        return rows if self.pair is None else [replace(r, label=f"{r.label}, {self.pair}", pair=self.pair) for r in rows]

    def row(self, row: Mapping[str, Any]) -> Row:
        cells, own = self.cells[row["row"]], self.measured[row["row"]]
        done = [cell.values for cell in cells if cell.values]
        baseline, alone = (self.at_same_point(row, self.plan[which]) for which in ("baseline", "alone"))
        is_baseline, is_alone = baseline is own, alone is own
        return Row(
            label=row["row"],
            kind="alone" if is_alone else "method",
            expected=len(cells),
            failed=sum(cell.error is not None for cell in cells),
            values=own.values,
            last=summarize(list(own.values.values())),
            best=summarize([values["test"]["best"][self.metric] for values in done if "best" in values["test"]]),
            also=further([values["test"]["last"] for values in done], self.further_metrics),
            published=published().get(row.get("published") or "", done[0]["reference"]) if done else None,
            difference=None if is_baseline else paired(own.values, baseline.values),
            comparison=None if is_baseline else self.compared(row, own, baseline),
            over_alone=None if is_alone else self.compared(row, own, alone),
            robust=interquartile_mean(list(own.values.values())),
            gap=None if is_alone else self.gap(own, alone),
            fidelity=fidelity(done),
            figures=mean_figures(done),
            parameters=done[0]["parameters"]["deployed"] if done else None,
            seconds=summarize([values["seconds"] for values in done]).mean,
            baseline=is_baseline,
            unpackaged=row["unpackaged"],
            guessing=self.guessing(own),
            tuned=row.get("tuned"),
            pair=self.pair,
        )

    @cached_property
    def further_metrics(self) -> list[str]:
        """All metrics but the headline, those first that the recipe wants a column for."""
        known = [name for cell in self.records.done if cell.values for name in cell.values["test"]["last"]]
        return [name for name in dict.fromkeys([*self.records.also, *known]) if name != self.metric]

    def compared(self, row: Mapping[str, Any], own: Measured, other: Measured) -> Comparison:
        declared = row["identity"] in self.plan.get(DECLARED, {}).get(row["label"], ()) and other.label in self.baselines
        resolve = self.plan.get("resolve")
        return compare(own, other, higher_is_better=self.higher, resolve=resolve, declared=declared)

    @cached_property
    def baselines(self) -> set[str]:
        return {name for name, row in self.rows.items() if row["label"] == self.plan["baseline"]}

    def gap(self, own: Measured, alone: Measured) -> Share | None:
        """The share of the way to the teacher, of rows that learn from the one which most have, as it is."""
        rows, teacher = self.usual_teacher
        if own.label not in rows:
            return None
        seeds = [seed for seed in own.values if seed in alone.values and seed in teacher]
        gains = [own.values[seed] - alone.values[seed] for seed in seeds]
        found = ratio_interval(gains, [teacher[seed] - alone.values[seed] for seed in seeds])
        return None if found is None else Share(*found)

    @cached_property
    def usual_teacher(self) -> tuple[list[str], dict[int, float]]:
        return usual_teacher(self.records, self.metric)

    def guessing(self, own: Measured) -> bool:
        chance = self.said("chance")
        if not chance or not own.values:
            return False
        if self.higher:
            return max(own.values.values()) <= GUESSING * chance
        return min(own.values.values()) >= chance / GUESSING


def ranking(parts: Sequence[_Found]) -> Ranking | None:
    """Of the rows over the pairs and the points of a grid, each a block."""
    means: dict[str, dict[str, float]] = {}
    for part in parts:
        for name, row in part.rows.items():
            mean = summarize(list(part.measured[name].values.values())).mean
            if mean is not None and row["point"]:
                block = ", ".join(
                    str(value) if key == PAIR else f"{key.rpartition('.')[2]}={value}" for key, value in row["point"].items()
                )
                means.setdefault(row["label"], {})[block] = mean
    return rank_rows(means, higher_is_better=parts[0].higher)


def _numbers(row: Row, metric: str) -> dict[str, Any]:
    change = row.difference
    low, high = (change.interval if change else None) or (None, None)
    return {
        "row": row.label,
        "kind": row.kind,
        "seeds": row.last.n,
        "failed": row.failed,
        metric: row.last.mean,
        "sd": row.last.sd,
        "best": row.best.mean,
        "difference": change.mean if change else None,
        "low": low,
        "high": high,
        **{name: summary.mean for name, summary in row.also.items() if name != metric},
        "parameters": row.parameters,
        "seconds": row.seconds,
    }


def _with_correction(rows: Sequence[Row]) -> list[Row]:
    to_baseline = corrected({row.label: row.comparison for row in rows})
    to_alone = corrected({row.label: row.over_alone for row in rows})
    return [replace(row, comparison=to_baseline[row.label], over_alone=to_alone[row.label]) for row in rows]


def _test(cell: Record, which: str, metric: str) -> float:
    assert cell.values is not None
    return float(cell.values["test"][which][metric])


def _order(row: Row, higher: bool) -> tuple[bool, float]:
    mean = row.last.mean
    return mean is None, 0.0 if mean is None else -mean if higher else mean
