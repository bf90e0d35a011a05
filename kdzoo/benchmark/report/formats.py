"""A leaderboard as Markdown, and cells as CSV and JSON: the same numbers that the page shows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from kdzoo.benchmark.report.board import Board, Row
from kdzoo.benchmark.report.records import FORMAT, Records
from kdzoo.benchmark.report.statistics import Summary
from kdzoo.terminal.console import visible

FORMULA = ("=", "+", "-", "@")
EXPLAINED = (
    "{metric} on test, mean ± sd over seeds. *Best on validation* is the test metric of the epoch that was best on validation; "
    "no number here was chosen on test. Differences to {baseline} are paired by seed (and values of the grid), with 95 % t "
    "intervals, which are not corrected for many comparisons."
)


def markdown(board: Board) -> str:
    """Table, explanation, warnings, failures and notes."""
    headers, rows = table(board)
    lines = [f"# {escaped(board.name)}", "", _line(headers), "|" + " --- |" + " ---: |" * (len(headers) - 1), *map(_line, rows)]
    lines += ["", EXPLAINED.format(metric=escaped(board.metric), baseline=escaped(board.baseline)), ""]
    for title, items in sections(board).items():
        lines += [f"**{title}**", "", *(f"- {escaped(item)}" for item in items), ""]
    return "\n".join(lines)


def sections(board: Board) -> dict[str, list[str]]:
    """What stands under the table, by title; nothing empty."""
    said = board.failures.items()
    failed = {sentence: [cell for cell, own in said if own == sentence] for _, sentence in said}
    missing = [f"{r.label}: {r.last.n} of {r.expected}" for r in board.rows if r.expected > r.last.n + r.failed]
    sources: dict[str, list[str]] = {}
    for row in board.rows:
        if row.published:
            sources.setdefault(row.published["source"], []).append(row.label)
    published = [f"{source}: {', '.join(labels)}" for source, labels in sources.items()]
    unpackaged = [f"{r.label} ({', '.join(r.unpackaged)})" for r in board.rows if r.unpackaged]
    found = {
        "Failed": [f"{cells[0]}{_others(len(cells) - 1)}: {sentence}" for sentence, cells in failed.items()],
        "Not finished yet": missing,
        "Not an equal comparison": list(board.warnings),
        "Methods in no installed package": unpackaged,
        "Published numbers": published,
        "Notes": list(board.notes),
    }
    return {title: items for title, items in found.items() if items}


def table(board: Board) -> tuple[list[str], list[list[str]]]:
    """The headers and a line a row; without the column of published numbers where there is none."""
    places = digits([row.last for row in board.rows])
    columns: dict[str, Callable[[Row], str]] = {
        "row": lambda row: row.label + (" (baseline)" if row.baseline else ""),
        "seeds": lambda row: f"{row.last.n}" + (f" ({row.failed} failed)" if row.failed else ""),
        f"{board.metric}, last epoch": lambda row: spread(row.last, places),
        "best on validation": lambda row: spread(row.best, places),
        f"Δ vs {board.baseline}": lambda row: difference(row.difference, places),
    }
    for name in board.also:
        own = [row.also[name] for row in board.rows]
        columns[name] = partial(_further, name=name, places=digits(own))
    if any(row.published for row in board.rows):
        columns["published"] = lambda row: _published(row, board.metric)
    columns["parameters"] = lambda row: "" if row.parameters is None else f"{row.parameters:,}"
    columns["seconds"] = lambda row: "" if row.seconds is None else f"{row.seconds:.1f}"
    return list(columns), [[text(row) for text in columns.values()] for row in board.rows]


def _further(row: Row, *, name: str, places: int) -> str:
    return spread(row.also[name], places)


def _published(row: Row, metric: str) -> str:
    if row.published is None:
        return "–"
    name = "" if row.published["metric"] == metric else f" {row.published['metric']}"
    return f"{row.published['value']:g}{name}"


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


def digits(column: Iterable[Summary]) -> int:
    """Decimal places of a column: two for percents and the like, four for what is small."""
    return 2 if any(abs(summary.mean or 0) >= 10 for summary in column) else 4


def results_json(board: Board, records: Records) -> dict[str, Any]:
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
    writer.writerows({key: _literal(value) for key, value in line.items()} for line in lines)
    return buffer.getvalue()


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: values[key] for key in ("row", "method", "seed", "identity", "status", "error", "seconds")}
    flat |= {f"grid.{key}": value for key, value in values["grid"].items()}
    for which, metrics in (values["test"] or {}).items():
        flat |= {f"test.{which}.{name}": value for name, value in metrics.items()}
    chosen = values["validation"] or {}
    flat |= {"validation.best": chosen.get("best"), "validation.best_epoch": chosen.get("best_epoch")}
    return flat | {"parameters": (values["parameters"] or {}).get("deployed")}


def _literal(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, as a text."""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in FORMULA else value


def _others(count: int) -> str:
    return f" and {count} other{'' if count == 1 else 's'}" if count else ""


def _line(fields: list[str]) -> str:
    return "| " + " | ".join(escaped(field).replace("|", "\\|") for field in fields) + " |"


def escaped(text: str) -> str:
    """A text as Markdown shows it as it is."""
    return re.sub(r"([\\`*<>]|(?<=\])\()", r"\\\1", visible(" ".join(text.split())))
