"""Dots with intervals, a lane a row: results on one axis, or differences around zero. Positions are in percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdzoo.benchmark.report.axes import Axis, axis, short
from kdzoo.benchmark.report.board import Board, Row
from kdzoo.benchmark.report.comparison import Comparison
from kdzoo.benchmark.report.ranking import Ranking
from kdzoo.benchmark.report.wording import difference, digits, spread


@dataclass(frozen=True)
class Lane:
    """A row's lane: positions of its mean, of its intervals' ends, and of single seeds with what they say.

    Attributes:
        row: what it is found by; label: what stands beside it.
        second: the interval over test items, where there is one.
    """

    row: str
    label: str
    kind: str
    text: str
    mean: float
    interval: tuple[float, float] | None
    second: tuple[float, float] | None
    points: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Chart:
    """Lanes on one axis: ticks (position, number), the step between two, and levels that cross all lanes.

    Attributes:
        levels: position and name of each; '' for a line that only guides the eye.
    """

    title: str
    lanes: Sequence[Lane]
    marks: Sequence[tuple[float, str]]
    step: float
    levels: Sequence[tuple[float, str]]
    note: str


def results(board: Board) -> Chart | None:
    """Each row's mean with its interval and a dot for each seed; the teachers are levels. Of one pair."""
    rows = [row for row in board.rows if row.kind != "teacher" and row.last.mean is not None]
    if not rows:
        return None
    places = digits([row.last for row in board.rows])
    shown = [row for row in rows if not row.guessing] or rows
    seen = [v for row in [*shown, *board.teachers] for v in (*row.values.values(), *(row.last.interval or ()))]
    along = axis(seen, 0, 100, bounds=board.bounds)
    lanes = [
        Lane(
            row.label,
            row.name,
            row.kind,
            spread(row.last, places),
            along.kept(row.last.mean or 0.0),
            _ends(row.last.interval, along),
            None,
            [(along.kept(value), f"seed {seed}: {value:.{places}f}") for seed, value in row.values.items()],
        )
        for row in rows
    ]
    levels = [(along.kept(t.last.mean or 0.0), f"{t.name} {t.last.mean:.{places}f}") for t in board.teachers]
    note = (
        f"{board.metric} on test after the last epoch. Large dots: means over seeds, as numbers with ± their sd. "
        "Lines: 95 % t intervals of the means. Small dots: single seeds."
        + (" Dashed: " + ", ".join(name for _, name in levels) + "." if len(levels) > 1 else "")
        + (f" The axis starts at {short(along.low)}." if along.low else "")
        + _beyond(rows, shown)
    )
    return _chart(f"{board.metric} on test{_of_pair(rows)}", lanes, along, levels, note)


def forest(board: Board, which: str, against: str) -> Chart | None:
    """Differences to the baseline (`comparison`) or to the student alone (`over_alone`), around zero."""
    found: list[tuple[Row, Comparison]] = []
    for row in board.rows:
        own: Comparison | None = getattr(row, which)
        if own is not None and own.seeds.mean is not None:
            found.append((row, own))
    if not found:
        return None
    places = digits([row.last for row in board.rows])
    shown = [pair for pair in found if not pair[0].guessing] or found
    pairs = [bounds for _, own in shown for bounds in (own.seeds.interval, own.items) if bounds]
    reach = [end for bounds in pairs for end in bounds]
    span = None if board.bounds is None else board.bounds[1] - board.bounds[0]
    along = axis(
        [0.0, *reach, *(own.seeds.mean or 0.0 for _, own in shown)], 0, 100, bounds=None if span is None else (-span, span)
    )
    lanes = [
        Lane(
            row.label,
            row.name + (" *" if own.declared else ""),
            row.kind,
            difference(own.seeds, places),
            along.kept(own.seeds.mean or 0.0),
            _ends(own.seeds.interval, along),
            _ends(own.items, along),
            [],
        )
        for row, own in found
    ]
    note = (
        f"{board.metric}, row minus {against} at the same seeds. Thin lines: 95 % t intervals over seeds. Thick pale lines: "
        "95 % bootstrap intervals over test items."
    )
    if any(own.declared for _, own in found):
        note += " * declared beforehand."
    note += _beyond([row for row, _ in found], [row for row, _ in shown])
    return _chart(f"Difference to {against}{_of_pair([row for row, _ in found])}", lanes, along, [(along.kept(0.0), "")], note)


def ranks(ranking: Ranking) -> Chart:
    """Average ranks, each with half a critical difference to both sides: rows whose lines overlap are not told apart."""
    half = ranking.critical_difference / 2
    along = axis([1.0, len(ranking.ranks)], 0, 100, bounds=(1.0, len(ranking.ranks)))
    lanes = [
        Lane(
            row,
            row,
            "method",
            f"{rank:.2f}",
            along.at(rank),
            _ends((rank - half, rank + half), along),
            None,
            [(along.at(own), f"{block}: {own:g}") for block, own in ranking.single[row].items()],
        )
        for row, rank in ranking.ranks.items()
    ]
    best = next(iter(ranking.ranks.values())) + half
    note = (
        f"Over {', '.join(ranking.blocks)}; 1 is the best rank. Large dots: averages. Small dots: single ranks. Lines: half of "
        f"Nemenyi's critical difference ({ranking.critical_difference:.2f} at 5 %) to both sides; rows whose lines overlap are "
        "not told apart. Upright: where the first row's line ends."
    )
    return _chart("Average ranks", lanes, along, [(along.kept(best), "")], note)


def _beyond(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    """Rows that learned nothing do not stretch the axis; that is said."""
    left_out = [row.label for row in rows if row not in shown]
    return f" Only guessing, and beyond the axis where they stand at its end: {', '.join(left_out)}." if left_out else ""


def _of_pair(rows: Sequence[Row]) -> str:
    return f": {rows[0].pair}" if rows[0].pair is not None else ""


def _chart(title: str, lanes: Sequence[Lane], along: Axis, levels: Sequence[tuple[float, str]], note: str) -> Chart:
    marks = [(along.at(mark), short(mark)) for mark in along.marks]
    return Chart(title, lanes, marks, round(100 / (len(marks) - 1), 4), levels, note)


def _ends(bounds: tuple[float, float] | None, along: Axis) -> tuple[float, float] | None:
    return None if bounds is None else (along.kept(bounds[0]), along.kept(bounds[1]))
