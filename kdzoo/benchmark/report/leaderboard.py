"""The leaderboard: one line a row, over its seeds, with the teacher's and the student alone among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdzoo.benchmark.report.board import Board, Row, further
from kdzoo.benchmark.report.fairness import notes, warnings
from kdzoo.benchmark.report.formats import markdown
from kdzoo.benchmark.report.published import published
from kdzoo.benchmark.report.records import Record, Records
from kdzoo.benchmark.report.statistics import paired, summarize
from kdzoo.benchmark.report.teacher_rows import teacher_rows


class Leaderboard(Board):
    """A board that a script prints: `print(kdzoo.bench("quickstart").markdown())`."""

    def markdown(self) -> str:
        """As a table in Markdown, with what belongs under it."""
        return markdown(self)


def leaderboard(records: Records) -> Leaderboard:
    """Compute it from what is on disk."""
    plan, metric, higher = records.plan, *_headline(records)
    kinds = {row["row"]: row for row in plan["rows"]}
    by_row = {name: [cell for cell in records.cells if cell.row == name] for name in kinds}
    last = {name: {cell.seed: _test(cell, "last", metric) for cell in cells if cell.values} for name, cells in by_row.items()}
    rows = [_row(row, by_row[name], last, records, metric) for name, row in kinds.items()]
    rows = sorted([*teacher_rows(records, metric), *rows], key=lambda row: _order(row, higher))
    failures = {f"{cell.row}, seed {cell.seed}": cell.error for cell in records.cells if cell.error}
    return Leaderboard(
        folder=records.folder,
        name=plan["name"],
        metric=metric,
        higher_is_better=higher,
        also=records.also,
        baseline=plan["baseline"],
        rows=rows,
        failures=failures,
        warnings=warnings(records),
        notes=notes(records),
    )


def _row(
    row: Mapping[str, Any],
    cells: Sequence[Record],
    last: Mapping[str, Mapping[int, float]],
    records: Records,
    metric: str,
) -> Row:
    plan = records.plan
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
        also=further([values["test"]["last"] for values in done], records.also),
        published=published().get(row.get("published") or "", done[0]["reference"]) if done else None,
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


def _test(cell: Record, which: str, metric: str) -> float:
    assert cell.values is not None
    return float(cell.values["test"][which][metric])


def _order(row: Row, higher: bool) -> tuple[bool, float]:
    mean = row.last.mean
    return mean is None, 0.0 if mean is None else -mean if higher else mean
