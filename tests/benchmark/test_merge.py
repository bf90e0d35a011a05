"""One leaderboard from several folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark.report.merge import leaderboard_of
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
