"""A leaderboard as Markdown and LaTeX, and cells as CSV and JSON: the same numbers that the page shows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kdzoo.benchmark.report.board import Board
from kdzoo.benchmark.report.figures import figures
from kdzoo.benchmark.report.records import FORMAT, Records
from kdzoo.benchmark.report.tables import Table, tables
from kdzoo.benchmark.report.wording import difference, digits, p_value, spread, verdict
from kdzoo.terminal.console import visible

TEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "–": "--", "<": "$<$", ">": "$>$", "Δ": r"$\Delta$"}
)
"""What stands for a character in LaTeX."""
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes for the start of a formula."""


def markdown(board: Board) -> str:
    """The leaderboard, warnings, failures and notes; then the further tables."""
    first, *others = tables(board)
    lines = [f"# {escaped(board.name)}", "", *_marked_down(first)]
    for title, items in sections(board).items():
        lines += [f"**{title}**", "", *(f"- {escaped(item)}" for item in items), ""]
    for table in others:
        lines += [f"## {table.title}", "", *_marked_down(table)]
    return "\n".join(lines)


def latex(board: Board) -> str:
    """The leaderboard as a `booktabs` table, with the differences' corrected p and the finding."""
    places = digits([row.last for row in board.rows])
    lines = [
        f"% {board.name}: {board.metric} on test, mean and sd over seeds, last epoch; differences paired by seed, 95 % "
        f"intervals.",
        r"\begin{tabular}{lrrrrl}",
        r"\toprule",
        " & ".join(map(_tex, ("row", "seeds", board.metric, f"difference to {board.baseline}", "Holm p", "finding"))) + r" \\",
        r"\midrule",
    ]
    for row in board.rows:
        own = row.comparison
        fields = (
            row.label,
            str(row.last.n),
            spread(row.last, places),
            difference(row.difference, places),
            p_value(own.corrected if own else None),
            verdict(own, places, higher_is_better=board.higher_is_better),
        )
        lines.append(" & ".join(map(_tex, fields)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _tex(text: str) -> str:
    return text.translate(TEX)


def _marked_down(table: Table) -> list[str]:
    numbers = "| " + " | ".join(["---", *["---:"] * (len(table.headers) - 1)]) + " |"
    return [_line(table.headers), numbers, *map(_line, table.lines), "", table.note, ""]


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
    single = ", ".join(row.label for row in board.rows if row.last.n == 1 and row.kind != "teacher")
    few = f"Over seeds nothing can be said of fewer than two: {single}. Train with at least two seeds, better five or more."
    offered = [f"{', '.join(board.without)}; bench.controls=[all] adds them."]
    found = {
        "Failed": [f"{cells[0]}{_others(len(cells) - 1)}: {sentence}" for sentence, cells in failed.items()],
        "Not finished yet": missing,
        "One seed": [few] if single else [],
        f"No better than guessing ({board.metric} {board.chance or 0:.4g})": [r.label for r in board.rows if r.guessing],
        "Not an equal comparison": list(board.warnings),
        "Methods in no installed package": unpackaged,
        "Published numbers": published,
        "Tuned on validation": [f"{row.label}: {_search(row.tuned)}" for row in board.rows if row.tuned],
        "Notes": list(board.notes),
        "Controls that are not among the rows": offered if board.without else [],
    }
    return {title: items for title, items in found.items() if items}


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
        **{key: values.get(key) for key in ("test", "validation", "parameters", "data", "seconds", "cost")},
        "teachers": {name: dict(own) for name, own in (values.get("teachers") or {}).items()},
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
    for teacher, own in values["teachers"].items():
        flat |= {f"{teacher}.{name}": value for name, value in (own.get("fidelity") or {}).items()}
    return flat | (figures(values) if values["test"] else {})


def _literal(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, as a text."""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in FORMULA else value


def _search(tuned: Mapping[str, Any]) -> str:
    failed = f" ({tuned['failed']} failed)" if tuned["failed"] else ""
    chosen = ((path, space, tuned["values"][path]) for path, space in tuned["space"].items())
    return f"{tuned['trials']} trials{failed}; " + "; ".join(f"{path}={value}, of {space}" for path, space, value in chosen)


def _others(count: int) -> str:
    return f" and {count} other{'' if count == 1 else 's'}" if count else ""


def _line(fields: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(field).replace("|", "\\|") for field in fields) + " |"


def escaped(text: str) -> str:
    """A text as Markdown shows it as it is."""
    return re.sub(r"([\\`*<>]|(?<=\])\()", r"\\\1", visible(" ".join(text.split())))
