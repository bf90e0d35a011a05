import csv
import io
import json

import pytest

from kdzoo.benchmark.report.formats import difference, markdown, results_csv, results_json, sections, spread
from kdzoo.benchmark.report.leaderboard import leaderboard
from kdzoo.benchmark.report.records import read_records
from kdzoo.benchmark.report.statistics import summarize

VALUES = {"alone": {0: 80.0, 1: 82.0}, "kd": {0: 90.0, 1: 92.0}, "d|kd": {0: 91.0, 1: "it broke"}}


@pytest.fixture
def records(made):
    return read_records(made(VALUES, notes=["Mind the gap."]))


def test_markdown_has_a_line_for_each_row_and_escapes_bars(records):
    text = markdown(leaderboard(records))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 4
    assert "| d\\|kd | 1 (1 failed) | 91.00 | 90.00 | +1.00 | 10 | 2.0 |" in table
    assert "| kd (baseline) | 2 | 91.00 ± 1.41 | 90.00 ± 1.41 | – | 10 | 2.0 |" in table
    assert "| alone | 2 | 81.00 ± 1.41 | 80.00 ± 1.41 | -10.00 [-10.00, -10.00] | 10 | 2.0 |" in table


def test_further_metrics_have_columns_of_their_own_precision(made):
    text = markdown(leaderboard(read_records(made(VALUES, also=["error"]))))
    assert "| Δ vs kd | error | parameters |" in text
    assert "| kd (baseline) | 2 | 91.00 ± 1.41 | 90.00 ± 1.41 | – | 0.0900 ± 0.0141 | 10 | 2.0 |" in text


def test_a_further_metric_that_the_task_does_not_have_is_told(made):
    found = sections(leaderboard(read_records(made(VALUES, also=["eror"]))))
    assert found["Notes"] == ["bench.also: there is no metric 'eror'; did you mean 'error'?"]


def test_published_numbers_stand_beside_with_their_source(made):
    published = {
        "kd": {"metric": "score", "value": 91.5, "source": "a table"},
        "d|kd": {"metric": "f1", "value": 3, "source": "b"},
    }
    board = leaderboard(read_records(made(VALUES, published=published)))
    lines = markdown(board).splitlines()
    assert "| kd (baseline) | 2 | 91.00 ± 1.41 | 90.00 ± 1.41 | – | 91.5 | 10 | 2.0 |" in lines
    assert any("| 3 f1 | 10 |" in line for line in lines)
    assert any("| – | 10 |" in line and line.startswith("| alone") for line in lines)
    assert sections(board)["Published numbers"] == ["a table: kd", "b: d|kd"]


def test_markdown_tells_failures_and_notes_under_the_table(records):
    text = markdown(leaderboard(records))
    assert "- d|kd, seed 1: it broke" in text
    assert "- Mind the gap." in text


def test_cells_that_failed_alike_are_told_once(made):
    folder = made({"alone": {0: "it broke", 1: "it broke", 2: "it broke"}, "kd": {0: "otherwise"}})
    told = sections(leaderboard(read_records(folder)))["Failed"]
    assert told == ["alone, seed 0 and 2 others: it broke", "kd, seed 0: otherwise"]


def test_csv_has_one_line_for_each_cell_failed_ones_included(records):
    lines = list(csv.DictReader(io.StringIO(results_csv(records))))
    assert len(lines) == 6
    assert [line["status"] for line in lines] == ["finished"] * 5 + ["failed"]
    assert lines[5]["error"] == "it broke"
    assert [float(line["test.last.score"]) for line in lines[:5]] == [80, 82, 90, 92, 91]


def test_json_holds_the_same_numbers_and_says_its_format(records):
    found = json.loads(json.dumps(results_json(leaderboard(records), records)))
    assert found["format"] == 1
    kd = next(row for row in found["rows"] if row["label"] == "kd")
    assert kd["last"]["mean"] == 91.0
    assert kd["values"] == {"0": 90.0, "1": 92.0}
    assert [cell["identity"] for cell in found["cells"]][:3] == ["alone0", "alone1", "kd0"]


def test_numbers_that_are_not_there_are_dashes():
    assert spread(summarize([]), 2) == "–"
    assert difference(None, 2) == "–"
    assert difference(summarize([1.5]), 1) == "+1.5"
