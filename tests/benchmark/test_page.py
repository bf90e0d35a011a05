import base64
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from kdzoo.benchmark.report import answers, axes, curves, lanes
from kdzoo.benchmark.report.leaderboard import leaderboard
from kdzoo.benchmark.report.page import write_report
from kdzoo.benchmark.report.png import encode
from kdzoo.benchmark.report.records import read_records
from kdzoo.benchmark.report.samples import choose, predictions

VALUES = {"alone": {0: 80.0, 1: 82.0}, "kd": {0: 90.0, 1: 92.0}, "one < two": {0: 91.0, 1: 93.0}}


FOUR = {
    "alone": {0: 80.0, 1: 82.0, 2: 81.0, 3: 80.5},
    "kd": {0: 90.0, 1: 92.0, 2: 91.0, 3: 91.0},
    "dkd": {0: 91.0, 1: 94.0, 2: 92.0, 3: 91.0},
}


@pytest.mark.parametrize(("low", "high"), [(83.2, 98.7), (0.0123, 0.0131), (5.0, 5.0), (-3.0, 2e6)])
def test_ticks_cover_the_values_at_round_steps(low: float, high: float) -> None:
    marks = axes.ticks(low, high)
    assert marks[0] <= low
    assert marks[-1] >= high
    assert 2 <= len(marks) <= 8
    steps = np.diff(marks)
    assert steps == pytest.approx(steps[0])
    assert f"{steps[0]:.0e}"[0] in "125"


@pytest.mark.parametrize(("low", "high"), [(-20.0, 98.7), (40.0, 130.0), (99.9, 100.0), (100.0, 100.0), (0.0, 0.0)])
def test_an_axis_ends_where_the_metric_does(low: float, high: float) -> None:
    marks = axes.ticks(low, high, bounds=(0.0, 100.0))
    assert len(marks) >= 2
    assert 0 <= marks[0] < marks[-1] <= 100
    assert marks[0] <= max(low, 0)
    assert marks[-1] >= min(high, 100)


def test_dots_stand_where_the_means_are_with_intervals_and_seeds(made: Any) -> None:
    chart = lanes.results(leaderboard(read_records(made(VALUES))))
    assert chart is not None
    assert [lane.label for lane in chart.lanes] == ["one < two", "kd", "alone"]
    assert [lane.mean for lane in chart.lanes] == sorted((lane.mean for lane in chart.lanes), reverse=True)
    for lane in chart.lanes:
        assert lane.interval is not None
        assert lane.interval[0] <= lane.mean <= lane.interval[1]
        assert len(lane.points) == 2


def test_a_forest_has_zero_and_both_intervals(made: Any) -> None:
    chart = lanes.forest(leaderboard(read_records(made(FOUR, items=True))), "comparison", "kd")
    assert chart is not None
    zero = chart.levels[0][0]
    own = {lane.label: lane for lane in chart.lanes}
    assert own["alone"].mean < zero < own["dkd"].mean
    assert all(lane.second is not None and lane.second[0] <= lane.mean <= lane.second[1] for lane in chart.lanes)


def test_curves_leave_the_panel_and_are_not_bent(made: Any) -> None:
    folder = made({"alone": {0: 80.0}, "kd": {0: 90.0}})
    log = folder / "cells" / "kd" / "seed0" / "metrics.jsonl"
    epochs = [
        json.dumps({"event": "epoch", "epoch": n, "validation": {"score": v}}) for n, v in ((1, 5.0), (2, 89.0), (9, 90.0))
    ]
    log.write_text("\n".join(epochs) + "\n")
    records = read_records(folder)
    ((_, picture), *_) = curves.learning(leaderboard(records), records)
    inner = next(e for e in ElementTree.fromstring(picture).iter("svg") if e.get("x"))
    line = next(e for e in inner if e.get("class") == "curve").get("points") or ""
    depth = float(line.split()[0].split(",")[1])
    assert depth > float(inner.get("y") or 0) + float(inner.get("height") or 0), "drawn below the panel, where it is cut off"


def test_a_grid_is_drawn_as_lines_over_its_values(made: Any) -> None:
    folder = made(FOUR)
    plan = json.loads((folder / "plan.json").read_text())
    for row, value in zip(plan["rows"], (1, 2, 4), strict=True):
        row |= {"label": "kd", "point": {"methods.kd.temperature": value}}
    plan |= {"baseline": "kd", "alone": "kd"}
    (folder / "plan.json").write_text(json.dumps(plan))
    records = read_records(folder)
    ((title, picture),) = curves.grids(leaderboard(records), records)
    assert title == "score over methods.kd.temperature"
    line = next(e for e in ElementTree.fromstring(picture).iter("polyline")).get("points") or ""
    assert len(line.split()) == 3


def test_reliability_and_confusion_are_those_of_the_definition() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
    target = np.array([0, 1, 1, 1])
    assert answers.confusion(target, logits).tolist() == [[1.0, 0.0], [pytest.approx(1 / 3), pytest.approx(2 / 3)]]
    found = answers.reliability(target, logits)
    assert found == [pytest.approx((0.6, 1.0, 0.25)), pytest.approx((0.8, 1.0, 0.25)), pytest.approx((0.9, 0.5, 0.5))]


def test_a_model_that_is_its_teacher_has_no_correlation_gap() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))
    gap = answers.correlation_gap(logits, logits)
    assert gap is not None
    assert gap.max() == 0
    assert answers.correlation_gap(logits, logits[:, :2]) is None


def test_the_resolved_recipes_of_all_rows_are_in_the_page(made: Any) -> None:
    folder = made(FOUR, items=True)
    write_report(folder)
    packed = re.search(r'id="recipes">([^<]+)<', (folder / "report.html").read_text())
    assert packed is not None
    found = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    assert found["dkd"] == "seed: 0\nmethods: {dkd: {}}\n"
    assert found.keys() == FOUR.keys()


def test_every_header_has_a_scope(made: Any) -> None:
    folder = made(FOUR, items=True)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert page.count("<th scope=") == page.count("<th ") + page.count("<th>") > 20


def test_labels_are_escaped(made: Any) -> None:
    folder = made(VALUES)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "one &lt; two" in page
    assert "one < two" not in page


def test_the_mean_curve_keeps_to_the_epochs_that_all_seeds_have() -> None:
    assert curves.mean_curve({0: [(1, 10.0), (2, 20.0), (3, 30.0)], 1: [(1, 20.0), (3, 50.0)]}) == [(1, 15.0), (3, 40.0)]


def test_the_page_needs_no_other_file_and_no_network(made: Any) -> None:
    folder = made(VALUES)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_page_shows_curves_and_numbers_of_every_row(made: Any) -> None:
    folder = made(VALUES)
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert page.count('class="curve"') == 3
    assert "91.00 ± 1.41" in page


def test_a_bench_without_a_finished_cell_has_a_page_that_says_why(made: Any) -> None:
    folder = made({"alone": {0: "it broke"}, "kd": {0: None}})
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "alone, seed 0: it broke" in page
    assert "kd: 0 of 1" in page


def test_reporting_anew_needs_no_torch(made: Any) -> None:
    folder = str(made(VALUES))
    code = f"import sys, kdzoo.benchmark as b; b.write_report({folder!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_image(channels: int) -> None:
    import io

    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (channels, 5, 7), dtype=np.uint8)
    read = np.asarray(Image.open(io.BytesIO(encode(image))))
    assert (read.reshape(5, 7, channels) == image.transpose(1, 2, 0)).all()


def test_samples_are_those_on_which_models_disagree_class_by_class() -> None:
    target = np.array([0, 0, 0, 1, 1, 1])
    right = [np.array([1, 1, 0, 1, 0, 0], bool), np.array([1, 0, 0, 1, 1, 0], bool)]
    assert choose(target, right, count=2).tolist() == [1, 4]


def test_samples_are_all_there_is_where_less_than_asked_for_exists() -> None:
    assert choose(np.array([1, 0]), [np.array([True, False])], count=9).tolist() == [1, 0]


def test_analyses_in_the_folder_of_a_bench_are_sections_of_its_report(made: Any) -> None:
    folder = made(VALUES)
    (folder / "analyses" / "calibration").mkdir(parents=True)
    (folder / "analyses" / "calibration" / "section.html").write_text(
        '<section class="analysis"><h2>calibration</h2></section>'
    )
    write_report(folder)
    text = (folder / "report.html").read_text()
    assert text.index("<h2>calibration</h2>") < text.index("Where this comes from")


def test_rows_that_were_tested_on_other_images_are_not_among_the_samples(tmp_path: Path, written: Any) -> None:
    folder = written(tmp_path, FOUR, items=True)
    for other in (folder / "cells").glob("dkd/*/predictions.npz"):
        with np.load(other) as kept:
            shorter = {name: kept[name][:50] for name in kept.files}
        np.savez_compressed(other, **shorter)
    found = predictions(read_records(folder))
    assert {"alone", "kd"} <= found.logits.keys()
    assert "dkd" not in found.logits
    assert found.folder.parent.name == "alone"
    write_report(folder)


def test_the_last_lines_of_a_failed_cell_are_on_the_page_once(made: Any) -> None:
    folder = made({"alone": {0: 80.0}, "kd": {0: "it broke", 1: "it broke"}})
    for seed in (0, 1):
        failure = {"identity": f"kd{seed}", "sentence": "it broke", "last": ["last logged: step 3", "raise Broken('<b>')"]}
        (folder / "cells" / "kd" / f"seed{seed}" / "failure.json").write_text(json.dumps(failure))
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert page.count("<summary>Last lines of ") == 1
    assert (
        "<summary>Last lines of kd, seed 0</summary><pre>last logged: step 3\nraise Broken(&#39;&lt;b&gt;&#39;)</pre>" in page
    )
