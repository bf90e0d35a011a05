"""A leaderboard as Markdown, and cells as CSV and JSON: the same numbers that the page shows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from kdzoo.bench.leaderboard import Leaderboard, Row
from kdzoo.bench.records import FORMAT, Records
from kdzoo.bench.statistics import Summary

HEADERS = ("row", "seeds", "{metric}, last epoch", "best on validation", "to {baseline}", "parameters", "seconds")
EXPLAINED = (
    "{metric} on test, mean ± sd over seeds. *Best on validation* is the test metric of the epoch that was best on validation; "
    "no number here was chosen on test. Differences to {baseline} are paired by seed (and values of the grid), with 95 % t "
    "intervals, which are not corrected for many comparisons."
)


def markdown(board: Leaderboard) -> str:
    """Table, explanation, warnings, failures and notes."""
    headers = [header.format(metric=board.metric, baseline=board.baseline) for header in HEADERS]
    lines = [f"# {board.name}", "", _line(headers), _line(["---", *["---:"] * (len(headers) - 1)])]
    lines += [_line(cells(row, digits(board))) for row in board.rows]
    lines += ["", EXPLAINED.format(metric=board.metric, baseline=board.baseline), ""]
    for title, items in sections(board).items():
        lines += [f"**{title}**", "", *(f"- {item}" for item in items), ""]
    return "\n".join(lines)


def sections(board: Leaderboard) -> dict[str, list[str]]:
    """What stands under the table, by title; nothing empty."""
    said = board.failures.items()
    failed = {sentence: [cell for cell, own in said if own == sentence] for _, sentence in said}
    missing = [f"{r.label}: {r.last.n} of {r.expected}" for r in board.rows if r.expected > r.last.n + r.failed]
    unpackaged = [f"{r.label} ({', '.join(r.unpackaged)})" for r in board.rows if r.unpackaged]
    found = {
        "Failed": [f"{cells[0]}{_others(len(cells) - 1)}: {sentence}" for sentence, cells in failed.items()],
        "Not finished yet": missing,
        "Not an equal comparison": list(board.warnings),
        "Methods in no installed package": unpackaged,
        "Notes": list(board.notes),
    }
    return {title: items for title, items in found.items() if items}


def cells(row: Row, places: int) -> list[str]:
    """A row's line of the table."""
    label = row.label + (" (baseline)" if row.baseline else "")
    seeds = f"{row.last.n}" + (f" ({row.failed} failed)" if row.failed else "")
    size = "" if row.parameters is None else f"{row.parameters:,}"
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    return [label, seeds, spread(row.last, places), spread(row.best, places), difference(row.difference, places), size, seconds]


def spread(summary: Summary, places: int) -> str:
    """Mean ± sd."""
    if summary.mean is None:
        return "–"
    return f"{summary.mean:.{places}f}" + ("" if summary.sd is None else f" ± {summary.sd:.{places}f}")


def difference(summary: Summary | None, places: int) -> str:
    """Mean difference and its interval, with a sign."""
    if summary is None or summary.mean is None:
        return "–"
    interval = "" if summary.interval is None else " [{:+.{p}f}, {:+.{p}f}]".format(*summary.interval, p=places)
    return f"{summary.mean:+.{places}f}{interval}"


def digits(board: Leaderboard) -> int:
    """Decimal places: two for percents and the like, four for what is small."""
    return 2 if any(abs(row.last.mean or 0) >= 10 for row in board.rows) else 4


def results_json(board: Leaderboard, records: Records) -> dict[str, Any]:
    """Everything, for machines. `format` counts up when a key changes its meaning."""
    return {
        "format": FORMAT,
        **{key: value for key, value in board.to_json().items() if key != "folder"},
        **{key: records.plan[key] for key in ("identity", "command", "recipe")},
        "environments": records.environments,
        "cells": [cell_values(records, number) for number in range(len(records.cells))],
        "teachers": [dict(teacher) for teacher in records.teachers],
    }


def cell_values(records: Records, number: int) -> dict[str, Any]:
    """One cell: where it belongs, how it ended, and its numbers."""
    cell = records.cells[number]
    row = next(row for row in records.plan["rows"] if row["row"] == cell.row)
    values: Mapping[str, Any] = cell.values or {}
    return {
        "row": cell.row,
        "method": row["label"],
        "grid": row["point"],
        "seed": cell.seed,
        "identity": cell.identity,
        "folder": cell.folder.relative_to(records.folder).as_posix(),
        "status": "finished" if cell.values else "failed" if cell.error else "missing",
        "error": cell.error,
        **{key: values.get(key) for key in ("test", "validation", "parameters", "data", "seconds")},
    }


def results_csv(records: Records) -> str:
    """One line a cell."""
    lines = [_flat(cell_values(records, number)) for number in range(len(records.cells))]
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for line in lines for key in line))
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: values[key] for key in ("row", "method", "seed", "identity", "status", "error", "seconds")}
    flat |= {f"grid.{key}": value for key, value in values["grid"].items()}
    for which, metrics in (values["test"] or {}).items():
        flat |= {f"test.{which}.{name}": value for name, value in metrics.items()}
    chosen = values["validation"] or {}
    flat |= {"validation.best": chosen.get("best"), "validation.best_epoch": chosen.get("best_epoch")}
    return flat | {"parameters": (values["parameters"] or {}).get("deployed")}


def _others(count: int) -> str:
    return f" and {count} other{'' if count == 1 else 's'}" if count else ""


def _line(fields: list[str]) -> str:
    return "| " + " | ".join(field.replace("|", "\\|") for field in fields) + " |"
