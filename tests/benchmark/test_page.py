import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from kdzoo.benchmark.report import charts
from kdzoo.benchmark.report.leaderboard import leaderboard
from kdzoo.benchmark.report.page import write_report
from kdzoo.benchmark.report.png import encode
from kdzoo.benchmark.report.records import read_records
from kdzoo.benchmark.report.samples import choose

VALUES = {"alone": {0: 80.0, 1: 82.0}, "kd": {0: 90.0, 1: 92.0}, "a < b": {0: 91.0, 1: 93.0}}


@pytest.mark.parametrize(("low", "high"), [(83.2, 98.7), (0.0123, 0.0131), (5.0, 5.0), (-3.0, 2e6)])
def test_ticks_cover_the_values_at_round_steps(low, high):
    marks = charts.ticks(low, high)
    assert marks[0] <= low
    assert marks[-1] >= high
    assert 2 <= len(marks) <= 8
    steps = np.diff(marks)
    assert steps == pytest.approx(steps[0])
    assert f"{steps[0]:.0e}"[0] in "125"


def test_bars_are_as_long_as_the_means(made):
    svg = charts.bars(leaderboard(read_records(made(VALUES))), 2)
    rects = ElementTree.fromstring(svg).iter("rect")
    widths = {rect.get("class"): [] for rect in ElementTree.fromstring(svg).iter("rect")}
    for rect in rects:
        widths[rect.get("class")].append(float(rect.get("width")))
    assert widths["bar method"][0] > widths["bar method"][1] > widths["bar alone"][0]


def test_bars_have_a_dot_for_each_seed_and_an_interval_for_each_row(made):
    root = ElementTree.fromstring(charts.bars(leaderboard(read_records(made(VALUES))), 2))
    assert len(list(root.iter("circle"))) == 6
    assert len(list(root.iter("path"))) == 3


def test_labels_are_escaped(made):
    folder = made(VALUES)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "a &lt; b" in page
    assert "a < b" not in page


def test_the_mean_curve_keeps_to_the_epochs_that_all_seeds_have():
    assert charts.mean_curve({0: [(1, 10.0), (2, 20.0), (3, 30.0)], 1: [(1, 20.0), (3, 50.0)]}) == [(1, 15.0), (3, 40.0)]


def test_the_page_needs_no_other_file_and_no_network(made):
    folder = made(VALUES)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


def test_the_page_shows_curves_and_numbers_of_every_row(made):
    folder = made(VALUES)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert page.count('class="curve"') == 3
    assert "91.00 ± 1.41" in page


def test_a_bench_without_a_finished_cell_has_a_page_that_says_why(made):
    folder = made({"alone": {0: "it broke"}, "kd": {0: None}})
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "alone, seed 0: it broke" in page
    assert "kd: 0 of 1" in page


def test_reporting_anew_needs_no_torch(made):
    folder = str(made(VALUES))
    code = f"import sys, kdzoo.benchmark as b; b.write_report({folder!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_image(channels):
    import io

    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), dtype=np.uint8)
    read = np.asarray(Image.open(io.BytesIO(encode(image))))
    assert (read.reshape(5, 7, channels) == image.transpose(1, 2, 0)).all()


def test_samples_are_those_on_which_models_disagree_class_by_class():
    target = np.array([0, 0, 0, 1, 1, 1])
    right = [np.array([1, 1, 0, 1, 0, 0], bool), np.array([1, 0, 0, 1, 1, 0], bool)]
    assert choose(target, right, count=2).tolist() == [1, 4]


def test_samples_are_all_there_is_where_less_than_asked_for_exists():
    assert choose(np.array([1, 0]), [np.array([True, False])], count=9).tolist() == [1, 0]


def test_analyses_in_the_folder_of_a_bench_are_sections_of_its_report(made):
    folder = made(VALUES)
    (folder / "analyses" / "calibration").mkdir(parents=True)
    (folder / "analyses" / "calibration" / "section.html").write_text(
        '<section class="analysis"><h2>calibration</h2></section>'
    )
    write_report(folder)
    text = (folder / "report.html").read_text()
    assert text.index("<h2>calibration</h2>") < text.index("Where this comes from")
