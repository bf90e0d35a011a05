import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark.report.formats import latex, markdown, results_csv, results_json, sections
from kdzoo.benchmark.report.leaderboard import leaderboard
from kdzoo.benchmark.report.published import as_text
from kdzoo.benchmark.report.records import read_records
from kdzoo.benchmark.report.statistics import summarize
from kdzoo.benchmark.report.tables import tables
from kdzoo.benchmark.report.wording import difference, spread, verdict

VALUES = {"alone": {0: 80.0, 1: 82.0}, "kd": {0: 90.0, 1: 92.0}, "d|kd": {0: 91.0, 1: "it broke"}}

VALUES_OF_FOUR = {
    "alone": {0: 80.0, 1: 82.0, 2: 81.0, 3: 80.5},
    "kd": {0: 90.0, 1: 92.0, 2: 91.0, 3: 91.0},
    "dkd": {0: 91.0, 1: 94.0, 2: 92.0, 3: 91.0},
}


@pytest.fixture
def records(made: Any) -> Any:
    return read_records(made(VALUES, notes=["Mind the gap."]))


def test_markdown_has_a_line_for_each_row_and_escapes_bars(records: Any) -> None:
    text = markdown(leaderboard(records))
    table = [line for line in text.partition("##")[0].splitlines() if line.startswith("|")]
    assert len(table) == 2 + 4
    assert "| d\\|kd | 1 (1 failed) | 91.00 | 90.00 | +1.00 | 10 | 2.0 |" in table
    assert "| kd (baseline) | 2 | 91.00 ± 1.41 | 90.00 ± 1.41 | – | 10 | 2.0 |" in table
    assert "| alone | 2 | 81.00 ± 1.41 | 80.00 ± 1.41 | -10.00 [-10.00, -10.00] | 10 | 2.0 |" in table


def test_further_metrics_have_columns_of_their_own_precision(made: Any) -> None:
    text = markdown(leaderboard(read_records(made(VALUES, also=["error"]))))
    assert "| Δ vs kd | error | parameters |" in text
    assert "| kd (baseline) | 2 | 91.00 ± 1.41 | 90.00 ± 1.41 | – | 0.0900 ± 0.0141 | 10 | 2.0 |" in text


def test_a_further_metric_that_the_task_does_not_have_is_told(made: Any) -> None:
    found = sections(leaderboard(read_records(made(VALUES, also=["eror"]))))
    assert found["Notes"] == ["bench.also: there is no metric 'eror'; did you mean 'error'?"]


def test_published_numbers_stand_beside_with_their_source(made: Any) -> None:
    published = {
        "kd": {"metric": "score", "value": 91.5, "source": "a table", "n": 1},
        "d|kd": {"metric": "f1", "value": 3, "source": "b"},
    }
    board = leaderboard(read_records(made(VALUES, published=published)))
    lines = markdown(board).splitlines()
    assert "| kd (baseline) | 2 | 91.00 ± 1.41 | 90.00 ± 1.41 | – | 91.5 (one run) | 10 | 2.0 |" in lines
    assert any("| 3 f1 | 10 |" in line for line in lines)
    assert any("| – | 10 |" in line and line.startswith("| alone") for line in lines)
    assert sections(board)["Published numbers"] == ["a table: kd", "b: d|kd"]


def test_markdown_tells_failures_and_notes_under_the_table(records: Any) -> None:
    text = markdown(leaderboard(records))
    assert "- d|kd, seed 1: it broke" in text
    assert "- Mind the gap." in text


def test_cells_that_failed_alike_are_told_once(made: Any) -> None:
    folder = made({"alone": {0: "it broke", 1: "it broke", 2: "it broke"}, "kd": {0: "otherwise"}})
    told = sections(leaderboard(read_records(folder)))["Failed"]
    assert told == ["alone, seed 0 and 2 others: it broke", "kd, seed 0: otherwise"]


def test_csv_has_one_line_for_each_cell_failed_ones_included(records: Any) -> None:
    lines = list(csv.DictReader(io.StringIO(results_csv(records))))
    assert len(lines) == 6
    assert [line["status"] for line in lines] == ["finished"] * 5 + ["failed"]
    assert lines[5]["error"] == "it broke"
    assert [float(line["test.last.score"]) for line in lines[:5]] == [80, 82, 90, 92, 91]


def test_json_holds_the_same_numbers_and_says_its_format(records: Any) -> None:
    found = json.loads(json.dumps(results_json(leaderboard(records), records)))
    assert found["format"] == 2
    kd = next(row for row in found["rows"] if row["label"] == "kd")
    assert kd["last"]["mean"] == 91.0
    assert kd["values"] == {"0": 90.0, "1": 92.0}
    assert [cell["identity"] for cell in found["cells"]][:3] == ["alone0", "alone1", "kd0"]


def test_numbers_that_are_not_there_are_dashes() -> None:
    assert spread(summarize([]), 2) == "–"
    assert difference(None, 2) == "–"
    assert difference(summarize([1.5]), 1) == "+1.5"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ({"value": 90.5, "sd": 0.6}, "90.5 ± 0.6 (within)"),
        ({"value": 90.5, "sd": 0.4}, "90.5 ± 0.4 (above)"),
        ({"value": 91.5, "sd": 0.4, "n": 5}, "91.5 ± 0.4 (below)"),
        ({"value": 91.5, "n": 1}, "91.5 (one run)"),
        ({"value": 91.5}, "91.5 (no sd)"),
        ({"value": 91.5, "sd": 0.4, "metric": "f1"}, "91.5 ± 0.4 f1"),
    ],
)
def test_a_published_number_has_a_verdict(number: dict[str, Any], text: str) -> None:
    assert as_text({"metric": "top1", **number}, summarize([90.0, 92.0]), "top1") == text


def test_the_table_of_differences_says_both_errors_and_what_could_have_been_seen(made: Any) -> None:
    board = leaderboard(read_records(made(VALUES_OF_FOUR, items=True)))
    table = next(table for table in tables(board) if table.title == "How sure: differences to kd")
    line = dict(zip(table.headers, next(line for line in table.lines if line[0] == "dkd"), strict=True))
    assert line["over seeds"] == "+1.00 [-0.30, +2.30]"
    assert line["over test items"].startswith("[")
    assert line["p"] == "0.250 (0.125)"
    assert line["P(better)"].startswith("0.88 [")
    assert line["half-width"] == "1.30"
    assert int(line["seeds for 0.2"]) > 4
    assert line["finding"].startswith("differs by less than ")


def test_no_finding_says_that_there_is_no_difference(made: Any) -> None:
    text = markdown(leaderboard(read_records(made(VALUES_OF_FOUR))))
    assert "no difference" not in text
    assert "differs by less than 2.30" in text


def test_fewer_than_two_seeds_say_nothing(made: Any) -> None:
    text = markdown(leaderboard(read_records(made({"alone": {0: 80.0}, "kd": {0: 90.0}}))))
    assert "| alone | one seed says nothing | -10.00 | – | – | – |" in text


def test_better_is_said_only_where_both_intervals_and_the_corrected_p_agree(made: Any) -> None:
    values = {
        "alone": {seed: 80.0 + seed / 10 for seed in range(6)},
        "kd": {seed: 90.0 + seed / 7 for seed in range(6)},
    }
    found = {row.label: row for row in leaderboard(read_records(made(values))).rows}["alone"].comparison
    assert found is not None
    assert (found.sign, found.sure, found.corrected) == (-1, True, 0.03125)
    assert verdict(found, 2, higher_is_better=True) == "worse"
    assert verdict(found, 2, higher_is_better=False) == "better"
    few = {row: dict(list(own.items())[:3]) for row, own in values.items()}
    found = {row.label: row for row in leaderboard(read_records(made(few))).rows}["alone"].comparison
    assert verdict(found, 2, higher_is_better=True) == "worse, if this were the only comparison"


def test_a_declared_comparison_is_marked_and_corrected_apart(made: Any) -> None:
    values = {"alone": {0: 80.0, 1: 82.0}, "kd": {0: 90.0, 1: 92.0}, "dkd": {0: 91.0, 1: 95.0}, "at": {0: 9.0, 1: 9.5}}
    folder = made(values)
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(
        json.dumps(plan | {"declared": {"dkd": ["dkd at seed 0"], "at": ["at with another temperature"]}})
    )
    board = leaderboard(read_records(folder))
    rows = {row.label: row.comparison for row in board.rows}
    assert rows["dkd"] is not None
    assert rows["at"] is not None
    assert (rows["dkd"].declared, rows["dkd"].p, rows["dkd"].corrected) == (True, 0.5, 0.5)
    assert (rows["at"].declared, rows["at"].corrected) == (False, 1.0)
    assert r"| dkd \* |" in markdown(board)


def test_the_latex_table_is_escaped_and_complete(records: Any) -> None:
    text = latex(leaderboard(records))
    assert text.count(r"\\") == 1 + 4
    assert r"91.00 $\pm$ 1.41" in text
    assert text.startswith("% made")


def test_the_points_of_a_grid_rank_the_rows(made: Any) -> None:
    folder = made(VALUES_OF_FOUR)
    plan = json.loads((folder / "plan.json").read_text())
    rows, cells = plan["rows"], plan["cells"]
    for row in rows:
        row["point"] = {"data": "x"}
    plan["rows"] += [{**row, "row": f"{row['row']} y", "point": {"data": "y"}} for row in rows[:3]]
    plan["cells"] += [{**cell, "row": f"{cell['row']} y"} for cell in cells]
    (folder / "plan.json").write_text(json.dumps(plan))
    board = leaderboard(read_records(folder))
    assert board.ranking is not None
    assert board.ranking.ranks == {"dkd": 1.0, "kd": 2.0, "alone": 3.0}
    assert "## How sure: average ranks" in markdown(board)


def test_a_row_that_only_guesses_is_flagged(made: Any) -> None:
    board = leaderboard(read_records(made({"alone": {0: 10.5, 1: 9.0}, "kd": {0: 90.0, 1: 11.0}}, chance=10.0)))
    assert {row.label for row in board.rows if row.guessing} == {"alone"}
    assert "alone" in sections(board)["No better than guessing (score 10)"]


def test_one_seed_is_said_to_say_nothing(made: Callable[..., Path]) -> None:
    board = leaderboard(read_records(made({"kd": {0: 90.0}, "dkd": {0: 91.0, 1: 92.0}, "alone": {0: 80.0, 1: 81.0}})))
    assert sections(board)["One seed"] == [
        "Over seeds nothing can be said of fewer than two: kd. Train with at least two seeds, better five or more."
    ]
    board = leaderboard(read_records(made({row: {0: 90.0, 1: 91.0} for row in ("kd", "alone")})))
    assert "One seed" not in sections(board)
