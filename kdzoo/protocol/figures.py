"""Figures as data: panels of marks, with titles, axes and units. The core draws them, and a test reads them.

A mark draws itself on the axes of a panel, in the look (color, marker, place among the bars) that the core has for its group,
so an analysis may bring marks of its own and needs no drawing library at import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

Numbers = Sequence[float] | Tensor
REFERENCE = "reference"
"""The group of what is there to compare with, such as a line of perfect calibration: drawn in dark gray."""


@dataclass(frozen=True)
class Look:
    """How the marks of one group look in a figure.

    Attributes:
        color, marker, hatch: as the drawing library names them.
        place, width: of bars beside those of other groups; categories are 1 apart.
    """

    color: str
    marker: str
    hatch: str = ""
    place: float = 0.0
    width: float = 0.8


class Mark(Protocol):
    """Something on a panel. Marks of one `group` share a look; `label` stands in the legend, '' keeps out of it."""

    @property
    def label(self) -> str: ...

    @property
    def group(self) -> str: ...

    def draw(self, axes: Any, look: Look) -> None:
        """Draw on matplotlib axes."""


@dataclass(frozen=True)
class _Grouped:
    label: str
    group: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", self.group or self.label)


@dataclass(frozen=True)
class Line(_Grouped):
    """Points joined in their order; NaN interrupts the line."""

    x: Numbers
    y: Numbers
    dashed: bool = field(default=False, kw_only=True)
    markers: bool = field(default=True, kw_only=True)

    def draw(self, axes: Any, look: Look) -> None:
        style, marker = "--" if self.dashed else "-", look.marker if self.markers else ""
        axes.plot(plain(self.x), plain(self.y), style, marker=marker, markersize=4, color=look.color, label=self.label)


@dataclass(frozen=True)
class Points(_Grouped):
    """A scatter of points; `large` for a few that stand for many, such as centers."""

    x: Numbers
    y: Numbers
    large: bool = field(default=False, kw_only=True)

    def draw(self, axes: Any, look: Look) -> None:
        size, alpha = (90, 1.0) if self.large else (14, 0.6)
        edge = {"edgecolors": "black", "linewidths": 0.8} if self.large else {"linewidths": 0}
        x, y = plain(self.x), plain(self.y)
        axes.scatter(x, y, s=size, alpha=alpha, color=look.color, marker=look.marker, label=self.label, **edge)


@dataclass(frozen=True)
class Bars(_Grouped):
    """One bar for each of the panel's categories, beside those of other groups."""

    heights: Numbers

    def draw(self, axes: Any, look: Look) -> None:
        heights = plain(self.heights)
        at = [number + look.place for number in range(len(heights))]
        axes.bar(at, heights, look.width, color=look.color, hatch=look.hatch, edgecolor="white", label=self.label)


@dataclass(frozen=True)
class Histogram(_Grouped):
    """Heights (n,) between edges (n + 1,), as an outline."""

    edges: Numbers
    heights: Numbers
    dashed: bool = field(default=False, kw_only=True)

    def draw(self, axes: Any, look: Look) -> None:
        heights, edges = plain(self.heights), plain(self.edges)
        style = "--" if self.dashed else "-"
        axes.stairs(heights, edges, color=look.color, linestyle=style, linewidth=1.6, label=self.label)


@dataclass(frozen=True)
class Heatmap(_Grouped):
    """A matrix (rows, columns), its first row on top, with a scale beside it.

    Attributes:
        unit: what the scale says.
        low, high: the ends of the scale; a scale from -h to h has its neutral color at 0.
        rows, columns: names; cuts: places where a line separates groups of rows and columns.
    """

    matrix: Tensor
    unit: str
    low: float
    high: float
    rows: Sequence[str] = field(default=(), kw_only=True)
    columns: Sequence[str] = field(default=(), kw_only=True)
    cuts: Sequence[int] = field(default=(), kw_only=True)

    def draw(self, axes: Any, look: Look) -> None:
        colors = "RdBu_r" if self.low == -self.high else "cividis"
        image = axes.imshow(self.matrix.tolist(), cmap=colors, vmin=self.low, vmax=self.high, interpolation="nearest")
        axes.figure.colorbar(image, ax=axes, label=self.unit, shrink=0.85)
        for cut in self.cuts:
            axes.axhline(cut - 0.5, color="black", linewidth=0.8)
            axes.axvline(cut - 0.5, color="black", linewidth=0.8)
        for axis, names, turned in ((axes.xaxis, self.columns, 90), (axes.yaxis, self.rows, 0)):
            if len(names) <= MOST_NAMES:
                axis.set_ticks(range(len(names)), [shortened(name) for name in names], rotation=turned, fontsize=8)
            else:
                axis.set_ticks([])
        axes.grid(visible=False)


MOST_NAMES = 30
LONGEST = 16


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title, x, y: what is shown and what the axes are, with units in brackets where there are any.
        categories: names of the places on the x axis, for bars.
        x_range, y_range: the ends of the axes; None shows all there is.
        equal: one unit is equally long on both axes, as distances on a plane want.
        log: a logarithmic y axis.
        counted: the x axis counts, such as epochs: whole numbers alone are written at it.
    """

    title: str
    x: str
    y: str
    marks: Sequence[Mark]
    categories: Sequence[str] = ()
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    equal: bool = False
    log: bool = False
    counted: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture of some panels.

    Attributes:
        name: its file name without suffix; title: the line above it; caption: what one has to know to read it.
        columns: panels side by side.
    """

    name: str
    title: str
    panels: Sequence[Panel]
    caption: str = ""
    columns: int = 2


def plain(numbers: Numbers) -> list[float]:
    """Numbers (n,) as a list of floats."""
    return [float(number) for number in (numbers.tolist() if isinstance(numbers, torch.Tensor) else numbers)]


def shortened(name: str) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
