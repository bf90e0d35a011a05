"""Figures drawn by matplotlib: one style for all, colors that color-blind people tell apart, the legend outside the data."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kdzoo.protocol.figures import REFERENCE, Bars, Figure, Heatmap, Look, Panel, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

COLORS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#000000", "#999999")
"""Okabe and Ito's palette ("Color Universal Design", 2008), in an order in which neighbors differ in gray, too."""
DARK = "#444444"
MARKERS = "osD^vP*X"
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo", "--")
STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e7ed",
    "figure.facecolor": "white",
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "kdzoo",
    "svg.fonttype": "path",
}
WIDE, HIGH, DPI, LETTERS = 5.0, 3.8, 150, 8.5
"""Inches of a panel, dots to the inch, letters of a title to the inch."""
TALL, PAD = 4.6, 0.1
"""Inches: the height of a panel that is square inside (heatmaps, equal axes), and what is left at the sides of each panel."""


def pictures(figure: Figure) -> dict[str, bytes]:
    """A figure as PNG and SVG, by suffix; the same figure gives the same bytes."""
    import matplotlib

    files = {}
    with matplotlib.rc_context(STYLE), _agg():
        canvas = drawn(figure)
        for kind in ("png", "svg"):
            file = io.BytesIO()
            canvas.savefig(file, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else {"Software": None})
            files[kind] = file.getvalue()
    return files


def drawn(figure: Figure) -> Canvas:
    """The figure on a canvas of matplotlib's."""
    from matplotlib.figure import Figure as Canvas
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(figure.columns, len(figure.panels))
    rows = math.ceil(len(figure.panels) / columns)
    square = any(panel.equal or any(isinstance(mark, Heatmap) for mark in panel.marks) for panel in figure.panels)
    canvas = Canvas(
        figsize=(WIDE * columns, (TALL if square else HIGH) * rows + 0.6), layout=ConstrainedLayoutEngine(w_pad=PAD)
    )
    shown = [mark for panel in figure.panels for mark in panel.marks if not isinstance(mark, Heatmap)]
    groups = list(dict.fromkeys(mark.group for mark in shown if mark.group != REFERENCE))
    for number, panel in enumerate(figure.panels):
        _panel(canvas.add_subplot(rows, columns, number + 1), panel, groups)
    canvas.suptitle(textwrap.fill(figure.title, int(LETTERS * WIDE * columns)), fontweight="bold")
    _legend(canvas, columns)
    return canvas


def _panel(axes: Any, panel: Panel, groups: Sequence[str]) -> None:
    barred = list(dict.fromkeys(mark.group for mark in panel.marks if isinstance(mark, Bars)))
    for mark in panel.marks:
        mark.draw(axes, _look(groups.index(mark.group) if mark.group in groups else None, barred, mark.group))
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x)
    axes.set_ylabel(panel.y)
    if panel.categories:
        room = max(1, MOST_LETTERS // max(len(panel.categories), FEWEST_PLACES))
        names = [shortened(name) for name in panel.categories]
        lines = [textwrap.fill(name, room, break_long_words=False) for name in names]
        turned = max(len(line) for name in lines for line in name.split("\n")) > room
        names = names if turned else lines
        axes.set_xticks(range(len(names)), names, rotation=90 if turned else 0, fontsize=8 if turned else 10)
        axes.grid(visible=False, axis="x")
        spare = max(0.0, (FEWEST_PLACES - len(names)) / 2)
        axes.set_xlim(-0.6 - spare, len(names) - 0.4 + spare)
    if panel.x_range is not None:
        axes.set_xlim(*panel.x_range)
    if panel.y_range is not None:
        axes.set_ylim(*panel.y_range)
    if panel.log:
        axes.set_yscale("log")
    if panel.counted:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if panel.equal:
        axes.set_aspect("equal", adjustable="datalim")


MOST_LETTERS = 48
FEWEST_PLACES = 4
"""Letters that fit under a panel side by side; places on its axis, so that a lone bar is not a wall."""


def _look(number: int | None, barred: Sequence[str], group: str) -> Look:
    if number is None:
        return Look(DARK, "")
    place, width = 0.0, 0.8
    if group in barred:
        width = 0.8 / len(barred)
        place = (barred.index(group) - (len(barred) - 1) / 2) * width
    again = number // len(COLORS)
    return Look(
        COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)], HATCHES[(number + again) % len(HATCHES)], place, width
    )


def _legend(canvas: Canvas, columns: int) -> None:
    """One for all panels, below them; a label that several have stands once."""
    found: dict[str, Any] = {}
    for axes in canvas.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label:
                found.setdefault(label, handle)
    if found:
        longest = max(map(len, found))
        across = max(1, min(len(found), int(WIDE * columns * 12 / (longest + 8))))
        canvas.legend(found.values(), found.keys(), loc="outside lower center", ncols=across, frameon=False)


@contextmanager
def _agg() -> Iterator[None]:
    """Numbers too large for pixels, and texts without room, are the user's to see, not a warning on the way."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        yield
