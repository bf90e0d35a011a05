"""Axes of charts: round ticks that cover the values, within what is possible; and SVG around shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Bounds = tuple[float, float] | None
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`, drawn from position `start` to `end`; `marks` are its ticks."""

    low: float
    high: float
    start: float
    end: float
    marks: Sequence[float] = ()

    def at(self, value: float) -> float:
        """The position of a value, also of one beyond the axis."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def kept(self, value: float) -> float:
        """The position of a value, or of the axis' end that it lies beyond."""
        return self.at(min(max(value, self.low), self.high))


def axis(values: Sequence[float], start: float, end: float, *, bounds: Bounds = None, most: int = 6) -> Axis:
    """An axis whose round ticks cover the values, but never what the metric cannot be."""
    marks = ticks(min(values), max(values), bounds=bounds, most=most)
    return Axis(marks[0], marks[-1], start, end, marks)


def ticks(low: float, high: float, *, bounds: Bounds = None, most: int = 6) -> list[float]:
    """Round numbers that cover low to high, as far as `bounds` reach, at steps of 1, 2 or 5 times a power of ten."""
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    span = max(high - low, 1e-3 * abs(high), 1e-6 if bounds is None else 1e-3 * (bounds[1] - bounds[0]))
    raw = span / (most - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
    within = [mark for mark in marks if bounds is None or bounds[0] <= mark <= bounds[1]]
    return within if len(within) > 1 else [round(marks[0] - step, 10), marks[0]]


def short(value: float) -> str:
    """A tick's number."""
    return f"{value:g}"


def path(points: Points, x: Axis, y: Axis) -> str:
    """Points as an SVG list of coordinates."""
    return " ".join(f"{x.at(a):g},{y.at(b):g}" for a, b in points)


def svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    """A picture of its own size, with the text that stands for it."""
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'


def frame(x: Axis, y: Axis, *, along: str, up: str = "") -> str:
    """Grid lines, tick labels and names of both axes."""
    left, right, bottom = x.start, x.end, y.start
    parts = [
        f'<line class="grid" x1="{left:g}" x2="{right:g}" y1="{y.at(m):g}" y2="{y.at(m):g}"/>'
        f'<text class="faint end" x="{left - 5:g}" y="{y.at(m) + 4:g}">{short(m)}</text>'
        for m in y.marks
    ]
    parts += [f'<text class="faint middle" x="{x.at(m):g}" y="{bottom + 16:g}">{short(m)}</text>' for m in x.marks]
    parts.append(f'<text class="faint end" x="{right:g}" y="{bottom + 31:g}">{escape(along)}</text>')
    if up:
        parts.append(f'<text class="faint" x="{left:g}" y="{y.end - 8:g}">{escape(up)}</text>')
    return "".join(parts)
