"""What a user can get wrong is told in one sentence, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

import kdzoo
from kdzoo import registry
from kdzoo.errors import CapabilityError, KdzooError, MissingError, PluginError, RecipeError
from kdzoo.protocol.analysis import Analysis, Findings, Measured, Wants
from kdzoo.testing.analysis import finished_tiny_run


class Counted(Analysis):
    """How many samples there are.

    Args: split: of which; teacher: whether the teacher is wanted.
    """

    def __init__(self, *, split: str = "test", teacher: bool = False) -> None:
        self.split, self.teacher = split, teacher

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), teacher=self.teacher)

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        return Findings({run.name: len(run.student.splits[self.split].index) for run in runs})


class Pair(Counted):
    """Two runs. Args: split: of which samples."""

    fewest = 2


class Broken(Counted):
    """One that fails. Args: split: of which samples."""

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        raise ZeroDivisionError("by nothing")


class Nothing(Counted):
    """One that returns nothing. Args: split: of which samples."""

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        return None  # type: ignore[return-value]


class Graphs(Counted):
    """One for another task. Args: split: of which samples."""

    def wants(self) -> Wants:
        return Wants(capabilities=frozenset({"graph"}))


class _Odd:
    pass


@pytest.fixture(autouse=True)
def registered() -> None:
    for each in (Counted, Pair, Broken, Nothing, Graphs):
        registry.register("analyses", each.__name__.lower(), each)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "run"))


def sentence(error: type[KdzooError], names: str | Sequence[str], *folders: Path | str, **settings: object) -> str:
    with pytest.raises(error) as caught:
        kdzoo.analyze(names, list(folders), **settings)
    text = str(caught.value)
    assert "\n" not in text
    assert all(not (Path(folder) / "analyses").exists() for folder in folders)
    return text


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    found = sentence(RecipeError, "counted", tmp_path / "no")
    assert found.startswith(f"There is no run folder {tmp_path / 'no'} (looked for ")
    assert found.endswith(": give the folder that `kdzoo run` named.")


def test_a_folder_that_holds_no_run(tmp_path: Path) -> None:
    assert sentence(RecipeError, "counted", tmp_path).startswith(f"{tmp_path} is not a run folder, it has no recipe.yaml")


def test_an_unfinished_run(copied: Path) -> None:
    (copied / "result.json").unlink()
    expected = f"the run in {copied} is not finished; start it again by `kdzoo run`, it resumes."
    assert sentence(RecipeError, "counted", copied) == expected


def test_a_run_without_weights(copied: Path) -> None:
    (copied / "student.safetensors").unlink()
    assert sentence(MissingError, "counted", copied) == (
        f"the run in {copied} has no saved weights (student.safetensors is missing), so there is nothing to measure; "
        f"train it again: kdzoo run {copied / 'recipe.yaml'} --force"
    )


def test_weights_of_another_model(copied: Path, folder: Path) -> None:
    other = finished_tiny_run('{"student": {"use": "tiny_cnn", "widths": [4, 12]}}')
    shutil.copy(other / "student.safetensors", copied)
    assert "does not fit the model" in sentence(RecipeError, "counted", copied)


def test_a_run_without_a_teacher() -> None:
    folder = finished_tiny_run('{"student": "linear", "train": {"epochs": 1}}', 0, "hard_label")
    text = sentence(CapabilityError, "counted", folder, overrides=["teacher=true"])
    assert text.startswith(f"analyses.counted compares a student with its teacher, but the run in {folder} has none")


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_a_teacher_that_is_gone(tmp_path: Path) -> None:
    recipe = {
        "task": {"data": "digits", "train_size": 44, "validation": 1000},
        "student": "linear",
        "methods": {"hard_label": {}},
        "train": {"epochs": 1},
    }
    teacher = {"use": "frozen", "recipe": {"name": "small", **recipe}}
    pupil = {**recipe, "methods": {"kd": {}}, "teacher": teacher, "runtime": {"device": "cpu", "out": str(tmp_path / "runs")}}
    folder = kdzoo.run({"name": "pupil", **pupil}, progress=False).folder
    assert kdzoo.analyze("counted", folder, overrides=["teacher=true"], write=False)["counted"].values == {"pupil": 597}
    shutil.rmtree(tmp_path / "runs" / "teachers")
    text = sentence(MissingError, "counted", folder, overrides=["teacher=true"])
    assert text.startswith(
        f"teachers.teacher: the teacher small of the run in {folder} is not in {tmp_path / 'runs' / 'teachers'}; change to"
    )
    assert kdzoo.analyze("counted", folder)["counted"].values == {"pupil": 597}  # it is not needed for the student alone


def test_an_empty_split() -> None:
    folder = finished_tiny_run('{"task": {"data": "digits", "train_size": 44, "validation": 0}, "train": {"epochs": 1}}')
    text = sentence(CapabilityError, "counted", folder, overrides=["split=validation"])
    assert text.startswith(f"analyses.counted wants the split 'validation', which is empty in the run in {folder}; set ")


def test_a_task_without_what_is_needed(folder: Path) -> None:
    assert sentence(CapabilityError, "graphs", folder).startswith("analyses.graphs needs graph, which the task of the run in")


def test_too_few_runs(folder: Path) -> None:
    assert sentence(RecipeError, "pair", folder) == "analyses.pair compares at least 2 runs, got 1: name more of them."


def test_two_runs_of_one_name(folder: Path) -> None:
    assert "give each its own name by --labels" in sentence(RecipeError, "pair", folder, folder)


def test_labels_that_do_not_fit(folder: Path) -> None:
    assert sentence(RecipeError, "counted", folder, labels=["a", "b"]).startswith("--labels names 2 runs, but there are 1")


def test_an_unknown_analysis_or_setting(folder: Path) -> None:
    assert "There is no 'countd' among the analyses: did you mean 'counted'" in sentence(RecipeError, "countd", folder)
    text = sentence(RecipeError, "counted", folder, overrides=["splt=train"])
    assert text.startswith("analyses.counted.splt is no setting of counted")
    assert "did you mean 'split'?" in text


def test_a_setting_that_could_be_of_several(folder: Path) -> None:
    text = sentence(RecipeError, ["counted", "pair"], folder, folder, overrides=["split=train"])
    assert text.startswith("The override 'split=train' does not say which analysis it is for: write counted.split=train; ")


def test_an_analysis_that_fails_or_returns_nothing(folder: Path) -> None:
    assert sentence(PluginError, "broken", folder) == (
        "analyses.broken: analyze failed with ZeroDivisionError: by nothing. --debug shows where."
    )
    assert sentence(PluginError, "nothing", folder).startswith("analyses.nothing: analyze must return a Findings, got None")


def test_something_that_is_no_analysis(folder: Path) -> None:
    registry.register("analyses", "odd", _Odd)
    assert "is a _Odd, not a kdzoo.Analysis" in sentence(PluginError, "odd", folder)


def test_draws_without_training_samples() -> None:
    with pytest.raises(ValueError, match="add 'train' to the splits"):
        Wants(draws=2)


def test_a_bench_stands_for_its_rows_at_their_first_seed(tmp_path: Path) -> None:
    places = {"a 0": finished_tiny_run(), "b 0": finished_tiny_run("{}", 1), "a 1": finished_tiny_run("{}", 1)}
    cells = []
    for name, folder in places.items():
        row, seed = name.split()
        identity = json.loads((folder / "result.json").read_text())["identity"]
        cells.append({"row": row, "seed": int(seed), "identity": identity, "folder": name})
        shutil.copytree(folder, tmp_path / name)
    (tmp_path / "plan.json").write_text(json.dumps({"format": 2, "teachers": [], "cells": cells}))
    found = kdzoo.analyze("counted", tmp_path, overrides=["split=train"])["counted"]
    assert found.values == {"a": 44, "b": 44}
    told = json.loads((tmp_path / "analyses" / "counted" / "findings.json").read_text())["runs"]
    assert [run["identity"] for run in told] == [cell["identity"] for cell in cells[:2]]
    assert (tmp_path / "analyses" / "counted" / "section.html").is_file()
