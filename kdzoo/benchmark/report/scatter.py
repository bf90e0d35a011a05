"""The metric against what training cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from kdzoo.benchmark.report.axes import Axis, axis, frame, svg
from kdzoo.benchmark.report.board import Board, Row
from kdzoo.benchmark.report.wording import quantity

WIDTH, HEIGHT = 420, 270
LETTER, LINE = 6.4, 13
COSTS = {"training_flops": "training FLOPs", "cpu_seconds": "CPU seconds", "seconds": "wall seconds"}
Box = tuple[float, float, float, float]


def against_cost(board: Board) -> tuple[str, str] | None:
    """Title and picture: a dot a row, on a logarithmic axis of the first cost that all rows know."""
    rows = [row for row in board.rows if row.last.mean is not None and row.figures]
    name = next((name for name in COSTS if rows and all(row.figures.get(name, 0) > 0 for row in rows)), None)
    if name is None:
        return None
    costs = [math.log10(row.figures[name]) for row in rows]
    low, high = min(costs), max(costs)
    room = max(0.08 * (high - low), 0.02)
    x = Axis(low - room, high + 3 * room, 48, WIDTH - 10)
    y = axis([row.last.mean or 0.0 for row in rows], HEIGHT - 50, 24, bounds=board.bounds)
    parts = [frame(x, y, along=f"{COSTS[name]}, logarithmic", up=board.metric)]
    parts += [
        f'<text class="faint middle" x="{x.at(math.log10(mark))}" y="{HEIGHT - 34}">{quantity(mark)}</text>'
        for mark in _round_numbers(10**x.low, 10**x.high)
    ]
    taken: list[Box] = []
    for row, cost in zip(rows, costs, strict=True):
        at = x.at(cost), y.at(row.last.mean or 0.0)
        taken.append((at[0] - 5, at[1] - 5, at[0] + 5, at[1] + 5))
    for row, cost in zip(rows, costs, strict=True):
        parts.append(_dot(row, x.at(cost), y.at(row.last.mean or 0.0), quantity(row.figures[name]), taken))
    return f"{board.metric} against {COSTS[name]}", svg(
        WIDTH, HEIGHT, parts, f"{board.metric} against {COSTS[name]}, a dot a row"
    )


def _dot(row: Row, x: float, y: float, cost: str, taken: list[Box]) -> str:
    width = LETTER * len(row.label)
    places = ((x + 8, y + 4, ""), (x - 8, y + 4, "end"), (x, y - 8, "middle"), (x, y + 18, "middle"))
    label = ""
    for left, base, anchor in places:
        start = left - {"": 0.0, "end": width, "middle": width / 2}[anchor]
        box = (start, base - LINE + 3, start + width, base + 3)
        if start >= 44 and start + width <= WIDTH and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            label = f'<text class="{anchor}" x="{left:g}" y="{base:g}">{escape(row.label)}</text>'
            break
    title = f"<title>{escape(row.label)}: {row.last.mean:.4g}, {cost}</title>"
    return f'<g class="{row.kind}">{title}<circle class="point" cx="{x:g}" cy="{y:g}" r="4.5"/>{label}</g>'


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _round_numbers(low: float, high: float) -> Sequence[float]:
    """1, 2 and 5 times powers of ten within the axis; only powers where there would be many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [number for number in found if low <= number <= high]
    return inside if len(inside) <= 6 else [number for number in inside if math.log10(number) % 1 < 1e-6]
