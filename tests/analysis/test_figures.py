"""Figures are drawn from their data: colors by group, the legend outside, the same bytes each time."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from matplotlib.colors import to_hex

from kdzoo.analysis.drawing import COLORS, MARKERS, drawn, pictures
from kdzoo.protocol.figures import Bars, Figure, Heatmap, Histogram, Line, Mark, Panel, Points


def figure(*marks: Mark, **settings: object) -> Figure:
    return Figure("one", "One", [Panel("Panel", "x (m)", "y (s)", marks, **settings)])  # type: ignore[arg-type]


def test_a_line_is_drawn_through_its_points() -> None:
    canvas = drawn(figure(Line("a", torch.tensor([0.0, 1.0]), [2.0, 4.0])))
    (line,) = canvas.axes[0].get_lines()
    assert line.get_xydata().tolist() == [[0, 2], [1, 4]]
    assert [text.get_text() for text in canvas.legends[0].get_texts()] == ["a"]
    assert (canvas.axes[0].get_xlabel(), canvas.axes[0].get_ylabel()) == ("x (m)", "y (s)")


def test_marks_of_one_group_share_a_color_and_others_do_not() -> None:
    canvas = drawn(figure(Line("a", [0], [0]), Line("a, dashed", [0], [1], group="a", dashed=True), Line("b", [0], [2])))
    colors = [to_hex(line.get_color()) for line in canvas.axes[0].get_lines()]
    assert colors[0] == colors[1] == COLORS[0].lower()
    assert colors[2] == COLORS[1].lower()


def test_bars_stand_beside_each_other() -> None:
    canvas = drawn(figure(Bars("a", [1, 2]), Bars("b", [3, 4]), categories=["c", "d"]))
    spans = sorted((bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in canvas.axes[0].patches)
    assert [height for _, _, height in spans] == [1, 3, 2, 4]
    assert all(left[1] <= right[0] + 1e-9 for left, right in pairwise(spans))
    assert [tick.get_text() for tick in canvas.axes[0].get_xticklabels()] == ["c", "d"]


def test_a_heatmap_has_its_first_row_on_top_and_a_scale_that_says_its_unit() -> None:
    heat = Heatmap("", torch.tensor([[1.0, 0.0], [-1.0, 0.5]]), "r", -1, 1, rows=["a", "b"], columns=["c", "d"], cuts=[1])
    canvas = drawn(figure(heat))
    (image,) = canvas.axes[0].get_images()
    assert image.get_array().tolist() == [[1.0, 0.0], [-1.0, 0.5]]
    assert image.get_clim() == (-1, 1)
    assert canvas.axes[0].yaxis_inverted()
    assert canvas.axes[1].get_ylabel() == "r"
    assert not canvas.legends


def test_a_histogram_and_points_show_what_they_hold() -> None:
    canvas = drawn(figure(Histogram("h", [0, 1, 2], [3, 4]), Points("p", [0.5], [1.0], large=True)))
    assert canvas.axes[0].patches[0].get_data().values.tolist() == [3, 4]
    assert canvas.axes[0].collections[0].get_offsets().tolist() == [[0.5, 1.0]]


def test_a_label_of_several_panels_stands_once_in_the_legend() -> None:
    panels = [Panel(title, "x", "y", [Line("a", [0, 1], [0, 1])]) for title in ("first", "second")]
    canvas = drawn(Figure("two", "Two", panels))
    assert [text.get_text() for text in canvas.legends[0].get_texts()] == ["a"]


def test_more_groups_than_colors_are_told_apart_by_hatches() -> None:
    canvas = drawn(figure(*[Bars(str(number), [1]) for number in range(12)], categories=["c"]))
    looks = {(to_hex(bar.get_facecolor()), bar.get_hatch()) for bar in canvas.axes[0].patches}
    assert len(looks) == 12
    assert len(MARKERS) == len(COLORS)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(kind: str) -> None:
    one = figure(Line("a", [0, 1], [0, 1]), x_range=(0, 1), y_range=(0.1, 1), log=True)
    assert pictures(one)[kind] == pictures(one)[kind]


def test_neither_colors_nor_gray_levels_repeat() -> None:
    """Neighbors in the order of use differ in lightness, so that they are told apart without color, too."""
    gray = [sum(weight * int(color[i : i + 2], 16) for weight, i in ((0.299, 1), (0.587, 3), (0.114, 5))) for color in COLORS]
    assert len(set(COLORS)) == len(COLORS)
    assert all(abs(a - b) > 8 for a, b in pairwise(gray))


@pytest.mark.parametrize(
    ("categories", "expected", "turned"),
    [
        (["stage1 → stage2", "b"], ["stage1 →\nstage2", "b"], False),
        (["T-shirt/top", *"abcdefghi"], ["T-shirt/top", *"abcdefghi"], True),
    ],
)
def test_labels_are_on_two_lines_or_turned_where_they_would_overlap(
    categories: list[str], expected: list[str], turned: bool
) -> None:
    labels = drawn(figure(Bars("a", range(len(categories))), categories=categories)).axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == expected
    assert all((label.get_rotation() == 90) is turned for label in labels)


def test_an_axis_that_counts_has_whole_numbers() -> None:
    (axes,) = drawn(figure(Line("a", [5, 6], [0, 1]), counted=True)).axes
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
