"""Equal tuning: every row as many trials, chosen on validation, repeatable, and said in the table."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark import CellFailed, Said, bench
from kdzoo.benchmark.tune.search import tune
from kdzoo.benchmark.tune.space import Choice, Range, space_of
from kdzoo.cli import main
from kdzoo.errors import Interrupted, MissingError, RecipeError

SPACE = {
    "kd": {"methods.kd.temperature": {"low": 1.0, "high": 8.0}},
    "dist": {"methods.dist.beta": [0.5, 1.0, 2.0]},
    "all": {"optimizers.student.lr": {"low": 0.01, "high": 1.0, "log": True}},
}


@pytest.fixture
def searched(tiny: dict[str, Any]) -> dict[str, Any]:
    tiny["bench"]["tune"] = {"trials": 3, "space": dict(SPACE)}
    tiny["optimizers"] = {"student": {"use": "sgd", "lr": 0.1}}
    return tiny


def read(file: Path) -> Mapping[str, Any]:
    return json.loads(file.read_text())


def test_every_row_gets_as_many_trials_and_its_best_on_validation_counts(searched: dict[str, Any]) -> None:
    file = tune(searched, workers=1)
    rows = read(file)["rows"]
    assert {label: len(row["trials"]) for label, row in rows.items()} == {"student alone": 3, "kd": 3, "dist": 3}
    for row in rows.values():
        assert row["best"] == max(row["trials"], key=lambda trial: trial["validation"])
        for trial in row["trials"]:
            (own,) = file.parent.rglob(f"seed0-{trial['identity']}")
            assert trial["validation"] == read(own / "result.json")["validation"]["best"]
    assert rows["kd"]["space"] == {"methods.kd.temperature": "1 to 8", "optimizers.student.lr": "0.01 to 1 (log)"}


def test_the_recipes_own_values_are_the_first_trial(searched: dict[str, Any]) -> None:
    first = read(tune(searched, ["bench.tune.trials=1"], workers=1))["rows"]
    assert first["kd"]["trials"][0]["values"] == {"methods.kd.temperature": 2.0, "optimizers.student.lr": 0.1}
    assert first["student alone"]["trials"][0]["values"] == {"optimizers.student.lr": 0.1}


def test_rows_whose_trials_come_to_the_same_values_go_on(searched: dict[str, Any]) -> None:
    searched["bench"]["methods"] = {"kd": {}, "other": {"methods": {"hard_label": {}, "kd": {"temperature": 8.0}}}}
    space = {"methods.kd.temperature": [2.0, 8.0]}
    searched["bench"]["tune"] = {"trials": 4, "space": {"kd": space, "other": space, "all": {"train.epochs": [1]}}}
    rows = read(tune(searched, workers=1))["rows"]
    seen = {label: {trial["identity"] for trial in rows[label]["trials"]} for label in ("kd", "other")}
    assert seen["kd"] & seen["other"]
    assert {label: len(row["trials"]) for label, row in rows.items()} == {"student alone": 4, "kd": 4, "other": 4}


def test_a_search_that_was_interrupted_goes_on_to_the_same_end(searched: dict[str, Any], tmp_path: Path) -> None:
    whole = tune(searched, workers=1, out=tmp_path / "whole")

    def interrupt(event: object) -> None:
        if isinstance(event, Said) and event.sentence.startswith("trial 2"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="finished trials are kept"):
        tune(searched, workers=1, on_event=interrupt)
    assert len(read(Path(searched["runtime"]["out"]) / "tiny" / "tune" / "tuned.json")["rows"]["kd"]["trials"]) == 2
    stamps = {path: path.stat().st_mtime_ns for path in Path(searched["runtime"]["out"]).rglob("result.json")}
    assert read(tune(searched, workers=1)) == read(whole)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_a_bench_takes_what_was_found_and_says_trials_and_space(searched: dict[str, Any]) -> None:
    file = tune(searched, workers=1)
    board = bench(searched, [f"bench.tuned={file}"], seeds=[1], workers=1)
    found = read(file)["rows"]
    row = next(row for row in board.rows if row.label == "kd")
    assert row.tuned is not None
    assert row.tuned["values"] == found["kd"]["best"]["values"]
    (own,) = board.folder.glob("cells/kd/seed1-*")
    assert f"temperature: {found['kd']['best']['values']['methods.kd.temperature']}" in (own / "recipe.yaml").read_text()
    text = board.markdown()
    assert "| trials |" in text
    assert "kd: 3 trials; methods.kd.temperature=" in text
    assert ", of 1 to 8; optimizers.student.lr=" in text


def test_rows_that_were_not_tuned_are_no_equal_comparison(searched: dict[str, Any]) -> None:
    del searched["bench"]["tune"]["space"]["all"]
    file = tune(searched, workers=1)
    assert set(read(file)["rows"]) == {"kd", "dist"}
    board = bench(searched, [f"bench.tuned={file}"], seeds=[0], workers=1)
    assert "The rows differ in trials of tuning: 3 for most, 0 for student alone." in board.warnings


def test_a_trial_that_fails_is_one_of_the_trials(searched: dict[str, Any]) -> None:
    space = {"kd": {}, "dist": {}, "all": {"optimizers.student.lr": [0.1, 1e38]}}
    searched["optimizers"]["student"]["weight_decay"] = 0
    searched["bench"]["tune"] = {"trials": 6, "space": space}
    searched["train"]["epochs"] = 4
    events: list[Any] = []
    file = tune(searched, workers=1, on_event=events.append)
    trials = [trial for row in read(file)["rows"].values() for trial in row["trials"]]
    failed = [trial for trial in trials if "error" in trial]
    assert failed
    assert all("no longer a number" in trial["error"] and trial["values"]["optimizers.student.lr"] == 1e38 for trial in failed)
    assert all(row["best"]["values"] == {"optimizers.student.lr": 0.1} for row in read(file)["rows"].values())
    assert any(isinstance(event, CellFailed) for event in events)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a row without a space": ({"space": {"kd": SPACE["kd"]}}, r"lacks the row 'dist': every row gets as many trials"),
    "a space of no row": ({"space": {"dk": {}}}, r"bench\.tune\.space: there is no row 'dk'; did you mean"),
    "no space": ({"trials": 3}, r"bench\.tune\.space must map the labels of rows to their spaces"),
    "no trials": ({"trials": 0, "space": SPACE}, r"bench\.tune\.trials must be a whole number of at least 1, got 0"),
    "a setting that there is not": (
        {"trails": 3, "space": SPACE},
        r"tune\.trails is no setting of tune; did you mean 'trials'",
    ),
    "a key that does not exist": (
        {"space": {"all": {"optimizers.student.rate": [1, 2]}}},
        r"bench\.methods\.student alone: .*rate is no setting",
    ),
    "a method that a row does not have": ({"space": {"all": {"methods.kd.temperature": [1, 2]}}}, r"it has no methods\.kd"),
    "a range upside down": ({"space": {"all": {"seed": {"low": 2, "high": 1}}}}, r"seed\.high must be above low, got 2 to 1"),
    "a range of text": ({"space": {"all": {"seed": {"low": "a", "high": 1}}}}, r"seed\.low must be a finite number, got 'a'"),
    "a logarithm of zero": ({"space": {"all": {"seed": {"low": 0, "high": 1, "log": True}}}}, r"low must be > 0 on a log"),
    "neither list nor range": ({"space": {"all": {"seed": 3}}}, r"seed must be a list of values, or \{low: 1, high: 8\}"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_before_anything_is_trained(case: str, searched: dict[str, Any], tmp_path: Path) -> None:
    searched["bench"]["tune"], sentence = WRONG[case]
    with pytest.raises(RecipeError, match=sentence):
        tune(searched, workers=1)
    assert not list(tmp_path.rglob("result.json"))


def test_nothing_to_tune_no_validation_and_a_grid_are_told(searched: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"a search chooses on a validation split, and this recipe has none"):
        tune(searched, ["task.validation=0"], workers=1)
    with pytest.raises(RecipeError, match=r"a search is of one pair, without a grid"):
        tune(searched, ["bench.grid={train.epochs: [1, 2]}"], workers=1)
    with pytest.raises(RecipeError, match=r"there is nothing to tune: the recipe has no `bench\.tune`"):
        tune(searched, ["~bench.tune"], workers=1)


def test_a_file_that_is_no_finished_search_is_told(searched: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "tuned.json"
    with pytest.raises(RecipeError, match=r"bench\.tuned: .* cannot be read \(No such file"):
        bench(searched, [f"bench.tuned={file}"])
    file.write_text("{}")
    with pytest.raises(RecipeError, match=r"is no search of this kdzoo; give the tuned\.json that `kdzoo tune` named"):
        bench(searched, [f"bench.tuned={file}"])
    rows = {"kd": {"space": {"seed": "1 to 2"}, "trials": [{"values": {}, "error": "it broke"}], "best": None}}
    file.write_text(json.dumps({"format": 1, "trials": 2, "rows": rows}))
    with pytest.raises(RecipeError, match=r"is not finished: kd has 1 of 2 trials"):
        bench(searched, [f"bench.tuned={file}"])
    file.write_text(json.dumps({"format": 1, "trials": 1, "rows": rows}))
    with pytest.raises(RecipeError, match=r"all trials of kd failed: it broke"):
        bench(searched, [f"bench.tuned={file}"])


def test_without_optuna_the_extra_is_named(searched: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingError, match=r"needs Optuna, which is not installed\. Run: pip install .*tune"):
        tune(searched, workers=1)


def test_spaces_are_said_in_words_and_know_what_is_theirs() -> None:
    found = space_of({"a": {"low": 1, "high": 8}, "b": {"low": 0.1, "high": 1, "log": True}, "c": ["x", 2]}, "space")
    assert {path: str(part) for path, part in found.items()} == {"a": "1 to 8", "b": "0.1 to 1 (log)", "c": "one of x, 2"}
    assert Range(1, 8).has(3)
    assert not Range(1, 8).has(2.5)
    assert not Range(1, 8).has(True)
    assert Range(0.5, 8).has(2.5)
    assert not Choice((1, 2)).has(3)


def test_the_command_prints_what_was_found_and_the_bench_to_run(
    searched: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(json.dumps(searched))
    assert main(["tune", str(tmp_path / "small.yaml"), "bench.tune.trials=2", "--workers", "1"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[1] for line in printed.out.splitlines() if line.startswith(("kd", "dist"))] == ["2", "2"]
    assert "trial 2 of 2, on validation: student alone" in printed.err
    assert "small.yaml bench.tune.trials=2 bench.tuned=" in printed.err
