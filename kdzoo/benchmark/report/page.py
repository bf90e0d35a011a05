"""The report: `results.json`, `results.csv`, the leaderboard as Markdown and LaTeX, and one self-contained page."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdzoo.benchmark.report import curves, lanes
from kdzoo.benchmark.report.analyses import sections_in
from kdzoo.benchmark.report.answers import Answers, answers
from kdzoo.benchmark.report.formats import latex, markdown, results_csv, results_json, sections
from kdzoo.benchmark.report.leaderboard import Leaderboard, leaderboard
from kdzoo.benchmark.report.png import data_uri
from kdzoo.benchmark.report.ranking import Ranking
from kdzoo.benchmark.report.records import PAGE, Records, read_records
from kdzoo.benchmark.report.samples import Predictions, predictions, read_samples
from kdzoo.benchmark.report.scatter import against_cost
from kdzoo.benchmark.report.tables import BY_PAIR, tables
from kdzoo.benchmark.report.wording import digits, p_value, share, spread
from kdzoo.engine.files import replace_file, write_json
from kdzoo.errors import RecipeError

TEMPLATES = Path(__file__).parent / "templates"
PANELS = 60
"""Rows with learning curves; more would be many megabytes that nobody looks at."""


def write_report(folder: str | Path) -> Leaderboard:
    """Write a bench's results anew from its cells; nothing is trained and no data set is read.

    Raises RecipeError if the folder is not a bench's.
    """
    folder = Path(folder)
    try:
        records = read_records(folder)
        board = leaderboard(records)
        results = results_json(board, records)
        texts = {
            "results.csv": results_csv(records),
            "leaderboard.md": markdown(board),
            "leaderboard.tex": latex(board),
            PAGE: page(board, records),
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:  # JSON, but not what a bench writes
        what = f"{type(error).__name__}: {error}"
        raise RecipeError(f"{folder} holds damaged results ({what}); run the bench again, with --force if need be.") from error
    write_json(folder / "results.json", results)
    for name, text in texts.items():
        replace_file(folder / name, lambda path, text=text: path.write_text(text, "utf-8"))  # type: ignore[misc]
    return board


def page(board: Leaderboard, records: Records) -> str:
    """The page; it needs neither other files nor the network, and without scripts it only does not sort, filter and save."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    alone = next((row.label for row in board.rows if row.kind == "alone"), "")
    parts = board.by_pair()
    forests = [lanes.forest(part, "comparison", board.baseline) for part in parts]
    if alone != board.baseline:
        against = alone if board.ranking is None else "the student alone"
        forests += [lanes.forest(part, "over_alone", against) for part in parts]
    panels = [panel for part, own in zip(parts, records.by_pair(), strict=True) for panel in curves.learning(part, own)]
    seen = predictions(records)
    leaders, *others = tables(board)
    return (
        environment.get_template("report.html")
        .render(
            board=board,
            tiles=tiles(board, digits([row.last for row in board.rows])),
            ranks=lanes.ranks(board.ranking) if board.ranking else None,
            results=[chart for part in parts if (chart := lanes.results(part))],
            forests=[chart for chart in forests if chart],
            leaders=leaders,
            by_pair=next((table for table in others if table.title == BY_PAIR), None),
            tables=[table for table in others if table.title != BY_PAIR],
            scatter=against_cost(board),
            grids=curves.grids(board, records),
            sections=sections(board),
            failed={cell.last: f"{cell.row}, seed {cell.seed}" for cell in reversed(records.cells) if cell.last},
            panels=panels[:PANELS],
            panels_left_out=len(panels[PANELS:]),
            answers=_answers(board, seen),
            samples=_samples(board, records, seen),
            recipes=_recipes(records),
            analyses=sections_in(board.folder),
            plan=records.plan,
            environments=records.environments,
        )
        .lstrip()
    )


def tiles(board: Leaderboard, places: int) -> list[tuple[str, str, str]]:
    """The numbers to see first: title, number, and a remark."""
    if board.ranking is not None and board.ranking.blocks == [part.rows[0].pair for part in board.by_pair()]:
        return _rank_tiles(board.ranking)
    shown = [row for row in board.rows if row.last.mean is not None]
    best = next((row for row in shown if row.kind == "method"), None)
    alone = next((row for row in shown if row.kind == "alone"), None)
    found = [("Teacher", next(iter(board.teachers), None)), ("Student alone", alone), ("Best method, by mean", best)]
    numbers = [(title, spread(row.last, places), _remark(row.label, row.parameters)) for title, row in found if row]
    if best is not None and best.gap is not None:
        remark = f"by {best.label}" + ("; 95 % interval" if best.gap.interval else "")
        numbers.append(("Gap to the teacher closed", share(best.gap), remark))
    return numbers


def _rank_tiles(ranking: Ranking) -> list[tuple[str, str, str]]:
    row, rank = next(iter(ranking.ranks.items()))
    found = [
        ("Best average rank", f"{rank:.2f}", f"{row}, over {len(ranking.blocks)} pairs"),
        ("Ranks are told apart above", f"{ranking.critical_difference:.2f}", "Nemenyi's critical difference, 5 %"),
    ]
    if ranking.friedman_p is not None:
        found.append(("All rows are alike", f"p {p_value(ranking.friedman_p)}", "Friedman's test"))
    return found


def _answers(board: Leaderboard, seen: Predictions | None) -> list[Answers]:
    """Of the teacher, the student alone, the baseline and the best row."""
    if seen is None:
        return []
    rows = [row for row in board.rows if row.label in seen.logits]
    best = next((row.label for row in rows if row.kind == "method"), None)
    teacher = next((row.label for row in rows if row.kind == "teacher"), None)
    wanted = [teacher, best, *(row.label for row in rows if row.baseline or row.kind == "alone")]
    chosen = list(dict.fromkeys(label for label in wanted if label is not None))
    return answers(seen.target, seen.logits, rows=chosen, teacher=teacher)


def _samples(board: Leaderboard, records: Records, seen: Predictions | None) -> Mapping[str, Any] | None:
    found = read_samples(records, seen)
    if found is None:
        return None
    order = [row.label for row in board.rows if row.label in found.said]
    said = {label: found.said[label] for label in order}
    return {"images": [data_uri(image) for image in found.images], "truth": found.truth, "said": said}


def _recipes(records: Records) -> str:
    """Row -> the resolved recipe of its first finished seed, as base64 of compressed JSON; recipes differ in few lines."""
    found: dict[str, str] = {}
    for cell in records.done:
        path = cell.folder / "recipe.yaml"
        if cell.row not in found and path.is_file():
            found[cell.row] = path.read_text("utf-8")
    return base64.b64encode(gzip.compress(json.dumps(found).encode(), mtime=0)).decode() if found else ""


def _remark(label: str, parameters: int | None) -> str:
    return label if parameters is None else f"{label}, {parameters:,} parameters"
