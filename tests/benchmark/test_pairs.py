"""The report over several pairs: each by itself with its own teacher, and the rows ranked over all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark import bench, write_report
from kdzoo.benchmark.report import lanes
from kdzoo.benchmark.report.leaderboard import Leaderboard, leaderboard
from kdzoo.benchmark.report.page import tiles
from kdzoo.benchmark.report.records import read_records

LOW = {"alone": {0: 40.0, 1: 42.0}, "kd": {0: 50.0, 1: 52.0}, "dkd": {0: 55.0, 1: 56.0}}
HIGH = {"alone": {0: 90.0, 1: 91.0}, "kd": {0: 93.0, 1: 94.0}, "dkd": {0: 95.0, 1: 97.0}}


@pytest.fixture
def folder(made: Any) -> Path:
    """A bench whose rows stand at two pairs, with a teacher of each."""
    values = {f"{row}, {pair}": own for pair, all_rows in (("low", LOW), ("high", HIGH)) for row, own in all_rows.items()}
    folder: Path = made(values, items=True, alone="alone, low")
    plan = json.loads((folder / "plan.json").read_text())
    for row in plan["rows"]:
        row["label"], pair = row["row"].split(", ")
        row["point"] = {"pair": pair}
    (folder / "plan.json").write_text(json.dumps({**plan, "alone": "alone", "baseline": "kd"}))
    for file in folder.glob("cells/*, low/*/result.json"):
        values = json.loads(file.read_text())
        for teacher in values["teachers"].values():
            teacher["test"] = {"score": 60.0}
        file.write_text(json.dumps(values))
    return folder


@pytest.fixture
def board(folder: Path) -> Leaderboard:
    return leaderboard(read_records(folder))


def row(board: Leaderboard, label: str) -> Any:
    return next(row for row in board.rows if row.label == label)


def test_rows_are_compared_within_their_pair(board: Leaderboard) -> None:
    assert row(board, "dkd, low").difference.mean == 4.5
    assert row(board, "dkd, high").difference.mean == 2.5
    assert row(board, "kd, low").over_alone.seeds.mean == 10.0


def test_the_gap_is_that_to_the_teacher_of_the_pair(board: Leaderboard) -> None:
    assert row(board, "teacher, low").last.mean == 60.0
    assert row(board, "teacher, high").last.mean == 99.0
    assert row(board, "kd, low").gap.value == pytest.approx(10 / 19)
    assert row(board, "kd, high").gap.value == pytest.approx(3 / 8.5)


def test_rows_stand_pair_by_pair_best_first(board: Leaderboard) -> None:
    low, high = (["teacher", "dkd", "kd", "alone"] for _ in range(2))
    assert [row.label for row in board.rows] == [f"{n}, low" for n in low] + [f"{n}, high" for n in high]


def test_each_pair_has_its_chart_on_its_own_axis_and_the_ranks_have_one(board: Leaderboard) -> None:
    charts = [lanes.results(part) for part in board.by_pair()]
    assert [chart.title for chart in charts if chart] == ["score on test: low", "score on test: high"]
    assert [[lane.label for lane in chart.lanes] for chart in charts if chart] == [["dkd", "kd", "alone"]] * 2
    assert [[name for _, name in chart.levels] for chart in charts if chart] == [["teacher 60.00"], ["teacher 99.00"]]
    assert board.ranking is not None
    ranks = lanes.ranks(board.ranking)
    assert [(lane.label, lane.text) for lane in ranks.lanes] == [("dkd", "1.00"), ("kd", "2.00"), ("alone", "3.00")]
    assert all(0 <= end <= 100 for lane in ranks.lanes for end in lane.interval or ())


def test_the_first_numbers_of_the_page_are_the_ranks(board: Leaderboard) -> None:
    assert tiles(board, 2)[0] == ("Best average rank", "1.00", "dkd, over 2 pairs")


def test_the_page_and_the_table_show_the_pairs_side_by_side(folder: Path) -> None:
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert page.index("<h2>Average ranks</h2>") < page.index("<h2>By pair</h2>") < page.index("<h2>score on test: low</h2>")
    assert "| dkd | 55.50 ± 0.71 | 96.00 ± 1.41 | 1.00 |" in (folder / "leaderboard.md").read_text()


def test_a_bench_over_two_pairs_trains_and_ranks(tiny: Any) -> None:
    tiny["bench"] |= {"pairs": {"small": {}, "large": {"student": {"use": "mlp", "hidden": [7]}}}, "seeds": [0]}
    board = bench(tiny, workers=1)
    assert board.failures == {}
    assert board.ranking is not None
    assert (board.ranking.blocks, set(board.ranking.ranks)) == (["small", "large"], {"student alone", "kd", "dist"})
