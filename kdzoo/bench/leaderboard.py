"""The leaderboard: one line a row, over its seeds, with the teacher's and the student alone among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from kdzoo.bench.fairness import notes, warnings
from kdzoo.bench.records import Record, Records
from kdzoo.bench.statistics import Summary, paired, summarize

TEACHER = "teacher"
Values = Mapping[str, Mapping[int, float]]
"""Row -> seed -> metric."""
Tests = dict[int, Mapping[str, float]]
"""Seed -> metrics of a teacher on the test split."""


@dataclass(frozen=True)
class Row:
    """A row's results on the test split.

    Attributes:
        label: of a grid, with the row's values of it. kind: `alone` is the student without a teacher.
        expected, failed: cells planned and failed; `last.n` are finished.
        values: seed -> the last epoch's metric.
        last: that over the seeds; best: the same with the weights of the epoch that was best on validation.
        also: the last epoch's further metrics over the seeds. published: the recipe's `reference`.
        difference: seed by seed to the baseline, None for a teacher and for the baseline itself.
        parameters: of what is deployed. seconds: mean wall time of a run.
        of: the only row with this teacher, where others have others.
        unpackaged: plugins of this row that are in no installed package.
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
    parameters: int | None = None
    seconds: float | None = None
    baseline: bool = False
    of: str | None = None
    unpackaged: Sequence[str] = ()


@dataclass(frozen=True)
class Leaderboard:
    """All rows, the best mean first, and what a reader should know about them.

    Attributes:
        also: further metrics that have a column.
        baseline: label of the row that others are compared with.
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

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "folder": str(self.folder)}

    def markdown(self) -> str:
        """As a table in Markdown, with what belongs under it."""
        from kdzoo.bench.formats import markdown

        return markdown(self)


def leaderboard(records: Records) -> Leaderboard:
    """Compute it from what is on disk."""
    plan, metric, higher = records.plan, *_headline(records)
    kinds = {row["row"]: row for row in plan["rows"]}
    by_row = {name: [cell for cell in records.cells if cell.row == name] for name in kinds}
    last = {name: {cell.seed: _test(cell, "last", metric) for cell in cells if cell.values} for name, cells in by_row.items()}
    also = plan.get("also", [])
    rows = [_row(row, by_row[name], last, plan, metric) for name, row in kinds.items()]
    rows = sorted([*teacher_rows(records, metric, also), *rows], key=lambda row: _order(row, higher))
    failures = {f"{cell.row}, seed {cell.seed}": cell.error for cell in records.cells if cell.error}
    return Leaderboard(
        folder=records.folder,
        name=plan["name"],
        metric=metric,
        higher_is_better=higher,
        also=also,
        baseline=plan["baseline"],
        rows=rows,
        failures=failures,
        warnings=warnings(records),
        notes=notes(records),
    )


def teacher_rows(records: Records, metric: str, also: Sequence[str] = ()) -> list[Row]:
    """One row for each teacher of the cells; one that several rows moved has a row for each of them."""
    found: dict[tuple[str, str, int], dict[str, Tests]] = {}
    for cell in records.done:
        for name, own in (cell.values or {})["teachers"].items():
            by_row = found.setdefault((name, own["kind"], own["parameters"]), {})
            by_row.setdefault(cell.row, {})[cell.seed] = own["test"]
    for own in records.teachers if not found else ():
        key = TEACHER, own["name"], own["parameters"]["deployed"]
        found[key] = {own["name"]: {own["seed"]: own["test"]["last"]}}
    common = {key: _shared(by_row.values(), metric) for key, by_row in found.items() if len(by_row) > 1 or len(found) == 1}
    names = [name for (name, _, _), tests in common.items() if tests]
    board = []
    for key, by_row in found.items():
        name, kind, parameters = key
        if tests := common.get(key):
            label = name if names.count(name) == 1 else f"{name} ({kind}, {parameters:,} parameters)"
            board.append(_teacher(label, tests, parameters, metric, also))
        else:
            board += [_teacher(f"{name} of {row}", own, parameters, metric, also, of=row) for row, own in by_row.items()]
    return board


def _shared(groups: Iterable[Tests], metric: str) -> Tests | None:
    """The results by seed, if all rows found the same at each."""
    shared: Tests = {}
    for tests in groups:
        for seed, test in tests.items():
            if shared.setdefault(seed, test)[metric] != test[metric]:
                return None
    return shared


def _teacher(label: str, tests: Tests, parameters: int, metric: str, also: Sequence[str], *, of: str | None = None) -> Row:
    if len({test[metric] for test in tests.values()}) == 1:
        tests = dict(list(tests.items())[:1])  # one teacher for all seeds, or as good as one
    values = {seed: test[metric] for seed, test in tests.items()}
    return Row(
        label=label,
        kind="teacher",
        expected=len(values),
        failed=0,
        values=values,
        last=summarize(list(values.values())),
        best=summarize([]),
        also=_further(tests.values(), also),
        parameters=parameters,
        of=of,
    )


def _row(
    row: Mapping[str, Any],
    cells: Sequence[Record],
    last: Mapping[str, Mapping[int, float]],
    plan: Mapping[str, Any],
    metric: str,
) -> Row:
    done = [cell.values for cell in cells if cell.values]
    own = last[row["row"]]
    against = next(r["row"] for r in plan["rows"] if r["label"] == plan["baseline"] and r["point"] == row["point"])
    is_baseline = against == row["row"]
    best = [values["test"]["best"][metric] for values in done if "best" in values["test"]]
    return Row(
        label=row["row"],
        kind="alone" if row["label"] == plan["alone"] else "method",
        expected=len(cells),
        failed=sum(cell.error is not None for cell in cells),
        values=own,
        last=summarize(list(own.values())),
        best=summarize(best),
        also=_further([values["test"]["last"] for values in done], plan.get("also", [])),
        published=done[0]["reference"] if done else None,
        difference=None if is_baseline else paired(own, last[against]),
        parameters=done[0]["parameters"]["deployed"] if done else None,
        seconds=summarize([values["seconds"] for values in done]).mean,
        baseline=is_baseline,
        unpackaged=row["unpackaged"],
    )


def _headline(records: Records) -> tuple[str, bool]:
    """Name and direction of the task's headline metric, as any result says."""
    for values in [cell.values for cell in records.done] + list(records.teachers):
        assert values is not None
        return values["metric"], values["higher_is_better"]
    return "metric", True


def _further(tests: Iterable[Mapping[str, float]], names: Sequence[str]) -> dict[str, Summary]:
    return {name: summarize([test[name] for test in tests if name in test]) for name in names}


def _test(cell: Record, which: str, metric: str) -> float:
    assert cell.values is not None
    return float(cell.values["test"][which][metric])


def _order(row: Row, higher: bool) -> tuple[bool, float]:
    mean = row.last.mean
    return mean is None, 0.0 if mean is None else -mean if higher else mean
