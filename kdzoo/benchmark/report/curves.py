"""Lines: validation over the epochs, a row a panel; and the metric over the values of a grid, a line a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from kdzoo.benchmark.report.axes import Axis, Points, axis, frame, path, svg
from kdzoo.benchmark.report.board import Board, Row
from kdzoo.benchmark.report.records import PAIR, Records

EARLY = 0.3
"""The curves' common scale leaves out what lies below all levels at this share of the training; lines leave the panel."""
MOST_POINTS = 60
COLORS = 6
"""Lines with a color of their own; further ones are gray."""
WIDTH, HEIGHT = 260, 170


def learning(board: Board, records: Records) -> list[tuple[str, str]]:
    """Label and curves of each row, all on one scale: the mean over seeds, their span, and the student alone in gray."""
    curves: dict[str, dict[int, Points]] = {}
    for cell in records.done:
        points = [(float(epoch), metrics[board.metric]) for epoch, metrics in cell.curve()]
        if points:
            curves.setdefault(cell.row, {})[cell.seed] = _thinned(points)
    if not curves:
        return []
    means = {label: mean_curve(own) for label, own in curves.items()}
    last = max(epoch for mean in means.values() for epoch, _ in mean)
    late = [value for mean in means.values() for epoch, value in mean if epoch >= EARLY * last]
    teacher = next((t["validation"]["last"].get(board.metric) for t in records.teachers), None)
    y = axis([*late, *([] if teacher is None else [teacher])], HEIGHT - 40, 10, bounds=board.bounds, most=4)
    x = Axis(0, last, 40, WIDTH - 14, (0, last))
    at = {row["row"]: row["point"] for row in records.plan["rows"]}
    alone = [row.label for row in board.rows if row.kind == "alone" and row.label in means]

    def beside(row: Row) -> Points:
        """The student alone at the row's point of the grid."""
        return next((means[label] for label in alone if at[label] == at[row.label]), [])

    return [
        (row.label, _panel(curves[row.label], beside(row), x, y, teacher))
        for row in board.rows
        if row.label in curves and means[row.label]
    ]


def mean_curve(own: Mapping[int, Points]) -> list[tuple[float, float]]:
    """The mean over the seeds, at the epochs that all of them have."""
    return [(epoch, math.fsum(values) / len(values)) for epoch, values in _common(own).items()]


def grids(board: Board, records: Records) -> list[tuple[str, str]]:
    """For each path of the grid, at the values of the others, the rows' means over its values: title and picture."""
    points = {row["row"]: (row["label"], row["point"]) for row in records.plan["rows"]}
    panels: dict[tuple[str, str], dict[str, list[tuple[object, Row]]]] = {}
    for row in board.rows:
        label, point = points.get(row.label, ("", {}))
        if row.last.mean is None:
            continue
        for name, value in point.items():
            if name == PAIR:  # no setting along which lines could be drawn
                continue
            others = ", ".join(f"{key}={other}" for key, other in point.items() if key != name)
            panels.setdefault((name, others), {}).setdefault(label, []).append((value, row))
    return [
        (f"{board.metric} over {name}" + (f" at {others}" if others else ""), _lines(board, name, lines))
        for (name, others), lines in panels.items()
        if any(len(line) > 1 for line in lines.values())
    ]


def _panel(own: Mapping[int, Points], alone: Points, x: Axis, y: Axis, teacher: float | None) -> str:
    span = [(epoch, min(values), max(values)) for epoch, values in _common(own).items()]
    edge = [(e, top) for e, _, top in span] + [(e, bottom) for e, bottom, _ in reversed(span)]
    inner = [
        f'<polyline class="reference" points="{path(alone, x, y)}"/>',
        f'<polygon class="band" points="{path(edge, x, y)}"/>' if len(own) > 1 else "",
        f'<polyline class="curve" points="{path(mean_curve(own), x, y)}"/>',
    ]
    if teacher is not None:
        inner.append(f'<line class="teacher" x1="{x.start}" x2="{x.end}" y1="{y.at(teacher)}" y2="{y.at(teacher)}"/>')
    return svg(WIDTH, HEIGHT, [frame(x, y, along="epoch"), _clipped(inner, x, y)], "Validation over the epochs")


def _clipped(parts: Sequence[str], x: Axis, y: Axis) -> str:
    """Shapes that end where the panel ends; coordinates stay those of the picture."""
    place = f'x="{x.start:g}" y="{y.end:g}" width="{x.end - x.start:g}" height="{y.start - y.end:g}"'
    box = f'viewBox="{x.start:g} {y.end:g} {x.end - x.start:g} {y.start - y.end:g}"'
    return f"<svg {place} {box}>{''.join(parts)}</svg>"


def _lines(board: Board, name: str, lines: Mapping[str, Sequence[tuple[object, Row]]]) -> str:
    values = list(dict.fromkeys(value for line in lines.values() for value, _ in line))
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    ordered: list[object] = sorted(values, key=float) if numeric else values  # type: ignore[arg-type]
    places = {value: float(number) for number, value in enumerate(ordered)}  # values of a setting are rarely evenly spaced
    rows = [row for line in lines.values() for _, row in line]
    seen = [v for row in rows for v in ((row.last.mean or 0.0), *(row.last.interval or ()))]
    y = axis(seen, 190, 22, bounds=board.bounds, most=5)
    x = Axis(-0.3, len(ordered) - 0.7, 44, 410)
    parts = [frame(x, y, along=name, up=board.metric)]
    parts += [f'<text class="faint middle" x="{x.at(places[v])}" y="206">{escape(str(v))}</text>' for v in ordered]
    for number, (label, line) in enumerate(lines.items()):
        color = f"c{number}" if number < COLORS else "other"
        means = sorted((places[value], row.last.mean or 0.0) for value, row in line)
        parts.append(f'<g class="{color}"><title>{escape(label)}</title><polyline points="{path(means, x, y)}"/>')
        for value, row in line:
            at = x.at(places[value]) + 3 * (number - len(lines) / 2)
            if row.last.interval:
                low, high = (y.kept(end) for end in row.last.interval)
                parts.append(f'<line x1="{at:g}" x2="{at:g}" y1="{low}" y2="{high}"/>')
            parts.append(f'<circle cx="{x.at(places[value])}" cy="{y.at(row.last.mean or 0.0)}" r="3"/>')
        parts.append("</g>")
    for number, label in enumerate(list(lines)[:COLORS]):
        parts.append(f'<g class="c{number}"><circle cx="50" cy="{240 + 16 * number}" r="4"/></g>')
        parts.append(f'<text x="60" y="{244 + 16 * number}">{escape(label)}</text>')
    if len(lines) > COLORS:
        parts.append(f'<text class="faint" x="60" y="{244 + 16 * COLORS}">gray: {len(lines) - COLORS} others</text>')
    return svg(420, 252 + 16 * min(len(lines), COLORS + 1), parts, f"{board.metric} over {name}, a line a row")


def _common(own: Mapping[int, Points]) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for points in own.values():
        for epoch, value in points:
            found.setdefault(epoch, []).append(value)
    return {epoch: values for epoch, values in sorted(found.items()) if len(values) == len(own)}


def _thinned(points: Points) -> Points:
    """At most about MOST_POINTS of them, the last among them."""
    step = -(-len(points) // MOST_POINTS)
    return [point for number, point in enumerate(reversed(points)) if number % step == 0][::-1]
