"""The report: `results.json`, `results.csv`, the leaderboard as Markdown and LaTeX, and one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdzoo.benchmark.report import charts
from kdzoo.benchmark.report.formats import latex, markdown, results_csv, results_json, sections
from kdzoo.benchmark.report.leaderboard import Leaderboard, leaderboard
from kdzoo.benchmark.report.png import data_uri
from kdzoo.benchmark.report.records import Records, read_records
from kdzoo.benchmark.report.samples import read_samples
from kdzoo.benchmark.report.tables import tables
from kdzoo.benchmark.report.wording import digits, spread
from kdzoo.engine.files import replace_file, write_json

TEMPLATES = Path(__file__).parent / "templates"
EARLY = 0.3
"""The curves' common scale leaves out what lies below every row's level at this share of the training."""


def write_report(folder: str | Path) -> Leaderboard:
    """Write a bench's results anew from its cells; nothing is trained and no data set is read.

    Raises RecipeError if the folder is not a bench's.
    """
    folder = Path(folder)
    records = read_records(folder)
    board = leaderboard(records)
    write_json(folder / "results.json", results_json(board, records))
    texts = {
        "results.csv": results_csv(records),
        "leaderboard.md": markdown(board),
        "leaderboard.tex": latex(board),
        "report.html": page(board, records),
    }
    for name, text in texts.items():
        replace_file(folder / name, lambda path, text=text: path.write_text(text, "utf-8"))  # type: ignore[misc]
    return board


def page(board: Leaderboard, records: Records) -> str:
    """The page; it needs neither other files nor the network."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    places = digits([row.last for row in board.rows])
    return environment.get_template("report.html").render(
        board=board,
        tiles=tiles(board, places),
        bars=charts.bars(board, places),
        tables=tables(board),
        sections=sections(board),
        panels=panels(board, records),
        samples=_samples(board, records),
        plan=records.plan,
        environments=records.environments,
    )


def tiles(board: Leaderboard, places: int) -> list[tuple[str, str, str]]:
    """The numbers to see first: title, number, and a remark."""
    shown = [row for row in board.rows if row.last.mean is not None]
    best = next((row for row in shown if row.kind == "method"), None)
    alone = next((row for row in shown if row.kind == "alone"), None)
    teacher = next(iter(board.teachers), None)
    found = [("Teacher", teacher), ("Student alone", alone), ("Highest mean", best)]
    numbers = [(title, spread(row.last, places), _remark(row.label, row.parameters)) for title, row in found if row]
    if best and alone and teacher and teacher.last.mean != alone.last.mean:
        share = (best.last.mean - alone.last.mean) / (teacher.last.mean - alone.last.mean)  # type: ignore[operator]
        numbers.append(("Gap to the teacher closed", f"{100 * share:.0f} %", f"by {best.label}"))
    return numbers


def panels(board: Leaderboard, records: Records) -> list[tuple[str, str]]:
    """Label and curves of each row, on one scale."""
    curves: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for cell in records.done:
        points = [(float(epoch), metrics[board.metric]) for epoch, metrics in cell.curve()]
        if points:
            curves.setdefault(cell.row, {})[cell.seed] = points
    if not curves:
        return []
    means = {label: charts.mean_curve(own) for label, own in curves.items()}
    last = max(epoch for mean in means.values() for epoch, _ in mean)
    late = [value for mean in means.values() for epoch, value in mean if epoch >= EARLY * last]
    teacher = next((t["validation"]["last"].get(board.metric) for t in records.teachers), None)
    level = [] if teacher is None else [teacher]
    alone = next((means[row.label] for row in board.rows if row.kind == "alone" and row.label in means), [])
    return [
        (label, charts.curves(own, alone, low=min(late), high=max(late + level), teacher=teacher, last=last))
        for label, own in ((row.label, curves.get(row.label)) for row in board.rows)
        if own
    ]


def _samples(board: Leaderboard, records: Records) -> Mapping[str, Any] | None:
    found = read_samples(records)
    if found is None:
        return None
    order = [row.label for row in board.rows if row.label in found.said]
    said = {label: found.said[label] for label in order}
    return {"images": [data_uri(image) for image in found.images], "truth": found.truth, "said": said}


def _remark(label: str, parameters: int | None) -> str:
    return label if parameters is None else f"{label}, {parameters:,} parameters"
