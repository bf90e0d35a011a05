"""One leaderboard from several folders."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark.plan.bench_plan import make_plan
from kdzoo.benchmark.report.merge import leaderboard_of
from kdzoo.benchmark.report.records import read_records
from kdzoo.cli import main
from kdzoo.errors import RecipeError

Made = Callable[..., Path]
Values = Mapping[str, Mapping[int, Any]]


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Callable[[str, Values], Path]:
    def make(name: str, values: Values) -> Path:
        return Path(shutil.move(made(values), tmp_path / name))

    return make


ONE = {"alone": {0: 80.0, 1: 81.0}, "kd": {0: 82.0, 1: None}}
OTHER = {"alone": {0: 80.0, 1: 81.0}, "kd": {1: 84.0, 2: 86.0}, "dkd": {0: 85.0}}


def test_every_run_counts_once_and_what_one_folder_lacks_comes_from_the_other(folder: Any, tmp_path: Path) -> None:
    board = leaderboard_of([folder("one", ONE), folder("other", OTHER)], tmp_path / "both")
    assert {row.label: dict(row.values) for row in board.rows if row.kind != "teacher"} == {
        "alone": {0: 80.0, 1: 81.0},
        "kd": {0: 82.0, 1: 84.0, 2: 86.0},
        "dkd": {0: 85.0},
    }
    assert "Merged from 2 folders" in (tmp_path / "both" / "leaderboard.md").read_text()


def test_merging_again_is_allowed_but_not_into_a_bench(folder: Any, tmp_path: Path) -> None:
    folders = [folder("one", ONE), folder("other", OTHER)]
    first = leaderboard_of(folders, tmp_path / "both")
    assert leaderboard_of(folders, tmp_path / "both") == first
    assert leaderboard_of([tmp_path / "both"], tmp_path / "again").rows == first.rows
    with pytest.raises(RecipeError, match=r"other is the folder of a bench, whose report would be overwritten"):
        leaderboard_of([folders[0]], folders[1])


def test_one_row_cannot_be_two_runs(folder: Any, tmp_path: Path) -> None:
    one, other = folder("one", ONE), folder("other", OTHER)
    plan = json.loads((other / "plan.json").read_text())
    plan["cells"][0]["identity"] = "changed"
    (other / "plan.json").write_text(json.dumps(plan))
    sentence = r"alone, seed 0 is run alone0 in .* and run changed in .*: settings, data or code differ\. Rename the row"
    with pytest.raises(RecipeError, match=sentence):
        leaderboard_of([one, other], tmp_path / "both")


def test_a_row_of_other_settings_is_refused_at_other_seeds_too(written: Any, tiny: Any, tmp_path: Path) -> None:
    def of(name: str, seeds: list[int], temperature: float) -> Path:
        recipe = copy.deepcopy(tiny)
        recipe["bench"]["seeds"] = seeds
        recipe["bench"]["methods"]["kd"] = {"methods": {"hard_label": {}, "kd": {"temperature": temperature}}}
        plan = make_plan(recipe, [], out=tmp_path / name)
        plan.save()
        return plan.folder

    ours = of("ours", [0, 1], 4.0)
    assert len(leaderboard_of([ours, of("more", [2, 3], 4.0)], tmp_path / "both").rows[0].values) == 0
    assert len(read_records(tmp_path / "both").cells) == 3 * 4
    with pytest.raises(RecipeError, match=r"kd in .*ours.* and kd in .*theirs.* differ in more than the seed: settings, data"):
        leaderboard_of([ours, of("theirs", [2, 3], 10.0)], tmp_path / "all")


@pytest.mark.parametrize("first", ["one", "other"])
def test_the_folder_that_has_got_furthest_with_a_run_counts(first: str, folder: Any, tmp_path: Path) -> None:
    states = {"one": {0: None, 1: None, 2: "no"}, "other": {0: 85.0, 1: "out of memory", 2: 86.0}}
    order = [first, *({*states} - {first})]
    folders = [folder(name, {"alone": {0: 80.0}, "kd": {0: 82.0}, "dkd": states[name]}) for name in order]
    board = leaderboard_of(folders, tmp_path / "both")
    found = next(row for row in board.rows if row.label == "dkd")
    assert dict(found.values) == {0: 85.0, 2: 86.0}
    assert board.failures == {"dkd, seed 1": "out of memory"}


def test_a_finished_run_of_another_label_counts_where_the_first_label_has_none(folder: Any, tmp_path: Path) -> None:
    one = folder("one", {"alone": {0: 80.0}, "kd": {0: 82.0}, "dkd": {0: None, 1: None}})
    other = folder("other", {"alone": {0: 80.0}, "kd": {0: 82.0}, "dkd": {0: 85.0, 1: 86.0}})
    plan = (other / "plan.json").read_text().replace('"row": "dkd"', '"row": "named otherwise"')
    (other / "plan.json").write_text(plan.replace('"label": "dkd"', '"label": "named otherwise"'))
    board = leaderboard_of([one, other], tmp_path / "both")
    assert {row.label: dict(row.values) for row in board.rows}["dkd"] == {0: 85.0, 1: 86.0}
    assert "named otherwise has the same runs as dkd, and stands in its row." in board.notes


def test_a_folder_without_pairs_beside_one_with_pairs_is_told(folder: Any, tmp_path: Path) -> None:
    one, other = folder("one", ONE), folder("other", OTHER)
    leaderboard_of([f"easy={one}"], tmp_path / "paired")
    with pytest.raises(RecipeError, match=r"some rows have a pair, as 'alone, easy', and some have none, as 'alone': give"):
        leaderboard_of([tmp_path / "paired", other], tmp_path / "both")


def changed(bench: Path, key: str) -> Path:
    """A bench one of whose results says 99 of this."""
    file = bench / "cells" / "kd" / "seed0" / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: 99}))
    return bench


def test_results_by_other_rules_are_refused(folder: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"result\.json is of protocol 99, this kdzoo of 1: results of both cannot stand"):
        leaderboard_of([changed(folder("one", ONE), "protocol")], tmp_path / "both")


def test_a_result_of_another_format_is_told_unless_a_folder_has_a_readable_one(folder: Any, tmp_path: Path) -> None:
    odd = changed(folder("one", ONE), "format")
    assert "format 99" in leaderboard_of([odd], tmp_path / "both").failures["kd, seed 0"]
    assert "kd, seed 0" not in leaderboard_of([odd, folder("other", ONE)], tmp_path / "all").failures


def test_a_baseline_that_is_not_there_is_named(folder: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no row 'dk' to compare with; did you mean"):
        leaderboard_of([folder("one", ONE), folder("other", OTHER)], tmp_path / "both", baseline="dk")


def test_the_command_line_does_it_too(folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(folder("one", ONE)), str(folder("other", OTHER))]
    assert main(["leaderboard", *folders, "--baseline", "alone"]) == 0
    assert "dkd" in capsys.readouterr().out
    assert (tmp_path / "leaderboard" / "report.html").is_file()
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert "is not the folder of a bench" in capsys.readouterr().err


FAR = {"alone": {0: 50.0, 1: 51.0}, "kd": {0: 58.0, 1: 60.0}, "dkd": {0: 55.0, 1: 54.0}}
NEAR = {"alone": {0: 80.0, 1: 81.0}, "kd": {0: 82.0, 1: 83.0}, "dkd": {0: 85.0, 1: 87.0}}


def renamed(bench: Path, mark: str) -> Path:
    """The same bench with runs of other identities, as another data set gives them."""
    for file in [bench / "plan.json", *bench.rglob("result.json")]:
        values = json.loads(file.read_text())
        for own in values.get("cells", [values]):
            own["identity"] += mark
        file.write_text(json.dumps(values))
    return bench


def test_folders_of_several_pairs_are_compared_by_pair_and_ranked_over_them(folder: Any, tmp_path: Path) -> None:
    near, far = renamed(folder("near", NEAR), "n"), renamed(folder("far", FAR), "f")
    board = leaderboard_of([f"easy={near}", f"hard={far}"], tmp_path / "both")
    assert board.ranking is not None
    assert board.ranking.blocks == ["easy", "hard"]
    assert dict(board.ranking.ranks) == {"kd": 1.5, "dkd": 1.5, "alone": 3.0}
    differences = {row.label: row.difference.mean for row in board.rows if row.difference is not None}
    assert differences == {"alone, easy": -2.0, "dkd, easy": 3.5, "alone, hard": -8.5, "dkd, hard": -4.5}
    table = (tmp_path / "both" / "leaderboard.md").read_text()
    assert "| row | easy | hard | average rank |" in table
    assert "| alone | 80.50 ± 0.71 | 50.50 ± 0.71 | 3.00 |" in table


def test_folders_of_one_pair_from_several_machines_are_merged_within_it(folder: Any, tmp_path: Path) -> None:
    one, other, far = (folder("one", ONE), folder("other", OTHER), renamed(folder("far", FAR), "f"))
    board = leaderboard_of([f"easy={one}", f"easy={other}", f"hard={far}"], tmp_path / "all")
    assert {row.label: row.last.n for row in board.rows if row.pair == "easy" and row.kind != "teacher"} == {
        "alone, easy": 2,
        "kd, easy": 3,
        "dkd, easy": 1,
    }


def test_contradicting_folders_are_told_how_pairs_are_named(folder: Any, tmp_path: Path) -> None:
    near, far = renamed(folder("near", NEAR), "n"), renamed(folder("far", FAR), "f")
    with pytest.raises(RecipeError, match=r"of different pairs or data sets, name these, as in `kdzoo leaderboard NAME=FOLDER"):
        leaderboard_of([near, far], tmp_path / "both")


Case = tuple[Callable[[Path, Path], list[Any]], str | None, str]
WRONG: dict[str, Case] = {
    "a pair without the baseline": (lambda n, f: [f"easy={n}", f"hard={f}"], "dkd", r"there is no row 'dkd' of hard"),
    "the same runs as two pairs": (lambda n, f: [f"easy={n}", f"hard={n}"], None, r"all runs of hard are runs of another pair"),
    "some folders without a name": (
        lambda n, f: [f"easy={n}", f],
        None,
        r"all folders have the name of their pair, .* or none",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_pairs_is_told(case: str, folder: Any, tmp_path: Path) -> None:
    folders, baseline, sentence = WRONG[case]
    near, far = renamed(folder("near", NEAR), "n"), renamed(folder("far", {k: v for k, v in FAR.items() if k != "dkd"}), "f")
    with pytest.raises(RecipeError, match=sentence):
        leaderboard_of(folders(near, far), tmp_path / "both", baseline=baseline)


def test_results_of_different_metrics_are_told_with_their_rows(folder: Any, tmp_path: Path) -> None:
    near, far = renamed(folder("near", NEAR), "n"), renamed(folder("far", FAR), "f")
    for file in far.rglob("result.json"):
        values = json.loads(file.read_text().replace('"score"', '"mrr"'))
        file.write_text(json.dumps(values))
    with pytest.raises(
        RecipeError, match=r"different metrics cannot stand in one table: score \(.*, easy\) and mrr \(.*, hard\)"
    ):
        leaderboard_of([f"easy={near}", f"hard={far}"], tmp_path / "both")


def test_the_command_line_takes_names_and_a_folder_whose_name_holds_the_sign(
    folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near, far = renamed(folder("near=1", NEAR), "n"), renamed(folder("far", FAR), "f")
    assert main(["leaderboard", f"easy={near}", f"hard={far}"]) == 0
    assert "dkd, easy" in capsys.readouterr().out
    assert (tmp_path / "leaderboard" / "report.html").is_file()
    assert main(["leaderboard", str(near)]) == 0
