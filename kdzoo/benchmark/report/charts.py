"""Charts as SVG text: bars with intervals, and small curves. Colors come from the page's style, by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from kdzoo.benchmark.report.board import Board, Row
from kdzoo.benchmark.report.wording import spread

WIDTH, HEIGHT = 860, 28
LONGEST = 40
LETTER = 7
"""Pixels that a letter of a label takes, at most about."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`, drawn from pixel `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value, kept on the axis."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers that cover low to high, at steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-6 * max(abs(high), 1e-6))
    raw = span / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def bars(board: Board, places: int) -> str:
    """One bar a row from the axis to its mean, with the mean's 95 % interval and a dot for each seed."""
    rows = [row for row in board.rows if row.kind != "teacher" and row.last.mean is not None]
    if not rows:
        return ""
    marks = ticks(*_reach([*rows, *board.teachers]))
    start = 24 + LETTER * min(max(len(row.label) for row in rows), LONGEST)
    end = WIDTH - 24 - LETTER * max(len(spread(row.last, places)) for row in rows)
    axis = Axis(marks[0], marks[-1], start, end)
    bottom = 34 + HEIGHT * len(rows)
    parts = [_grid(axis, marks, bottom)]
    parts += [_bar(row, axis, 34 + HEIGHT * place, places) for place, row in enumerate(rows)]
    parts += [_level(row, axis, bottom) for row in board.teachers]
    caption = f"{board.metric} on test, last epoch; the axis starts at {_short(marks[0])}"
    parts.append(f'<text class="faint" x="{start}" y="{bottom + 34}">{escape(caption)}</text>')
    return _svg(WIDTH, bottom + 42, parts, f"Bar chart of {board.metric} on test for each row")


def curves(own: Mapping[int, Points], reference: Points, *, low: float, high: float, teacher: float | None, last: float) -> str:
    """Validation over the epochs: the mean over seeds, the span of the seeds, and a reference curve in gray.

    Args:
        own: seed -> (epoch, value). reference: mean curve of the student alone. low, high: common to all panels.
        teacher: the teacher's level; last: the last epoch.
    """
    marks = ticks(low, high, most=4)
    x, y = Axis(0, last, 34, 246), Axis(marks[0], marks[-1], 126, 10)
    parts = [
        f'<line class="grid" x1="34" x2="246" y1="{y.at(m)}" y2="{y.at(m)}"/>'
        f'<text class="faint end" x="29" y="{y.at(m) + 4}">{_short(m)}</text>'
        for m in marks
    ]
    parts.append(f'<text class="faint end" x="246" y="142">epoch {_short(last)}</text>')
    if teacher is not None:
        parts.append(f'<line class="teacher" x1="34" x2="246" y1="{y.at(teacher)}" y2="{y.at(teacher)}"/>')
    parts.append(f'<polyline class="reference" points="{_path(reference, x, y)}"/>')
    span = _span(own)
    edge = [(e, top) for e, _, top in span] + [(e, bottom) for e, bottom, _ in reversed(span)]
    parts.append(f'<polygon class="band" points="{_path(edge, x, y)}"/>')
    parts.append(f'<polyline class="curve" points="{_path(mean_curve(own), x, y)}"/>')
    return _svg(256, 148, parts, "Validation over the epochs")


def mean_curve(own: Mapping[int, Points]) -> list[tuple[float, float]]:
    """The mean over the seeds, at the epochs that all of them have."""
    return [(epoch, math.fsum(values) / len(values)) for epoch, values in _common(own).items()]


def _span(own: Mapping[int, Points]) -> list[tuple[float, float, float]]:
    return [(epoch, min(values), max(values)) for epoch, values in _common(own).items()]


def _common(own: Mapping[int, Points]) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for points in own.values():
        for epoch, value in points:
            found.setdefault(epoch, []).append(value)
    return {epoch: values for epoch, values in sorted(found.items()) if len(values) == len(own)}


def _reach(rows: Sequence[Row]) -> tuple[float, float]:
    values = [value for row in rows for value in (*row.values.values(), *(row.last.interval or ()))]
    return min(values), max(values)


def _grid(axis: Axis, marks: Sequence[float], bottom: float) -> str:
    return "".join(
        f'<line class="grid" x1="{axis.at(m)}" x2="{axis.at(m)}" y1="26" y2="{bottom}"/>'
        f'<text class="faint middle" x="{axis.at(m)}" y="{bottom + 16}">{_short(m)}</text>'
        for m in marks
    )


def _bar(row: Row, axis: Axis, top: float, places: int) -> str:
    assert row.last.mean is not None
    mean, middle = axis.at(row.last.mean), top + HEIGHT / 2
    label = row.label if len(row.label) <= LONGEST else row.label[: LONGEST - 1] + "…"
    number = spread(row.last, places)
    parts = [
        f"<g><title>{escape(row.label)}: {escape(number)}</title>",
        f'<text class="end" x="{axis.start - 10:g}" y="{middle + 4}">{escape(label)}</text>',
        f'<rect class="bar {row.kind}" x="{axis.start:g}" y="{top + 5}" width="{mean - axis.start:.2f}" height="18" rx="2"/>',
    ]
    if row.last.interval is not None:
        low, high = (axis.at(value) for value in row.last.interval)
        ends = f"M{low} {middle - 4}v8M{high} {middle - 4}v8"
        parts.append(f'<path class="whisker" d="M{low} {middle}H{high}{ends}"/>')
    parts += [f'<circle class="seed" cx="{axis.at(value)}" cy="{middle}" r="2.6"/>' for value in row.values.values()]
    parts.append(f'<text x="{axis.end + 16:g}" y="{middle + 4}">{escape(number)}</text></g>')
    return "".join(parts)


def _level(row: Row, axis: Axis, bottom: float) -> str:
    assert row.last.mean is not None
    x = axis.at(row.last.mean)
    text = f'<text class="teacher middle" x="{x}" y="18">{escape(row.label)} {row.last.mean:.4g}</text>'
    return f'<line class="teacher" x1="{x}" x2="{x}" y1="24" y2="{bottom}"/>{text}'


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    return " ".join(f"{x.at(a)},{y.at(b)}" for a, b in points)


def _short(value: float) -> str:
    return f"{value:g}"


def _svg(width: int, height: float, parts: Sequence[str], title: str) -> str:
    return f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
