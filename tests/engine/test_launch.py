"""Runs from start to end: skip, resume, nested teachers, early stop, failures that leave nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdzoo.engine import files
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.errors import CapabilityError, Interrupted, RecipeError, RunFailed, WeakTeacherWarning
from kdzoo.testing import tiny_recipe

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
FAST = {"train": {"epochs": 1, "batch_size": 12}}


def losses(folder: Path) -> list[Any]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(r["stage"], r["epoch"], r["step"], r["loss"]) for r in records if r["event"] == "step"]


def test_a_finished_run_is_not_repeated_unless_forced(tmp_path: Path) -> None:
    recipe = tiny_recipe("kd", out=tmp_path, recipe=FAST)
    first = launch(recipe)
    stamp = (first.folder / "result.json").stat().st_mtime_ns
    again = launch(recipe)
    assert again.identity == first.identity
    assert (first.folder / "result.json").stat().st_mtime_ns == stamp
    forced = launch(recipe, force=True)
    assert (first.folder / "result.json").stat().st_mtime_ns > stamp
    assert forced.values["test"] == first.values["test"]


def test_what_changes_the_result_changes_the_identity_and_nothing_else_does(tmp_path: Path) -> None:
    def folder(**sections: Any) -> str:
        return launch(tiny_recipe("kd", out=tmp_path, recipe={**FAST, **sections})).identity

    same = folder()
    assert folder(runtime={"device": "cpu", "out": str(tmp_path), "log_every": 7}) == same
    assert folder(seed=1) != same


def test_a_signal_writes_a_checkpoint_and_the_same_command_goes_on(tmp_path: Path) -> None:
    whole = launch(tiny_recipe("kd", out=tmp_path / "whole"))
    broken = tiny_recipe("kd", out=tmp_path / "broken")
    seen: list[Mapping[str, Any]] = []

    def interrupt(record: Mapping[str, Any]) -> None:
        seen.append(record)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="checkpoint is written"):
        launch(broken, listeners=[interrupt])
    assert len(seen) == 2, "the run went on after the signal"
    resumed = launch(broken)
    a, b = load_file(whole.folder / DEPLOYED), load_file(resumed.folder / DEPLOYED)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert losses(whole.folder) == losses(resumed.folder)


@pytest.mark.parametrize("damage", ["truncate", "corrupt", "remove"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage: str, tmp_path: Path) -> None:
    from kdzoo.testing.laws.helpers import Killed, Killer

    whole = launch(tiny_recipe("kd", out=tmp_path / "whole"))
    broken = tiny_recipe("kd", out=tmp_path / "broken")
    broken.settings["runtime"]["checkpoint_every"] = 1
    with pytest.raises(Killed):
        launch(broken, listeners=[Killer(6)])
    newest = sorted((tmp_path / "broken").glob("*/*/checkpoints/*"))[-1] / "weights.safetensors"
    if damage == "truncate":
        newest.write_bytes(newest.read_bytes()[:100])
    elif damage == "corrupt":
        content = bytearray(newest.read_bytes())
        content[-1] ^= 1
        newest.write_bytes(bytes(content))
    else:
        newest.unlink()
    with pytest.warns(UserWarning, match=r"is unusable \(weights.safetensors is (damaged|missing)\); falling back"):
        resumed = launch(broken)
    a, b = load_file(whole.folder / DEPLOYED), load_file(resumed.folder / DEPLOYED)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_teacher_recipe_is_trained_once_and_shared(tmp_path: Path) -> None:
    inner = {
        "task": {"data": "digits", "train_size": 100, "validation": 1000},
        "student": {"use": "tiny_cnn", "widths": [6, 12]},
        "methods": {"hard_label": {}},
        "train": {"epochs": 1, "batch_size": 20},
    }
    teacher = {"teacher": {"use": "frozen", "recipe": inner}}
    first = launch(tiny_recipe("kd", out=tmp_path, recipe={**FAST, **teacher}))
    (stored,) = (tmp_path / "teachers").iterdir()
    stamp = (stored / "result.json").stat().st_mtime_ns
    second = launch(tiny_recipe("dist", out=tmp_path, recipe={**FAST, **teacher}))
    assert (stored / "result.json").stat().st_mtime_ns == stamp
    own = json.loads((stored / "result.json").read_text())
    for result in (first, second):
        assert result.values["teachers"]["teacher"]["test"] == own["test"]["last"]


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    still = {
        "student": {"use": "mlp", "hidden": [8]},
        "optimizers": {"student": {"use": "sgd", "lr": 0.0, "weight_decay": 0.0}},
    }
    sections = {**still, "train": {"epochs": 30, "batch_size": 12, "patience": 2}}
    result = launch(tiny_recipe("kd", out=tmp_path, recipe=sections))
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["event"] == "epoch" for line in lines) == 3
    assert result.values["validation"]["best_epoch"] == 1


def test_a_loss_that_is_no_number_names_its_term(tmp_path: Path) -> None:
    sections = {"optimizers": {"student": {"use": "sgd", "lr": 1e20, "weight_decay": 0}}}
    with pytest.raises(RunFailed, match=r"methods\.(hard_label\.hard_label|kd\.kd) = (nan|inf)"):
        launch(tiny_recipe("kd", out=tmp_path, recipe=sections))


def test_an_output_folder_below_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"cannot write to .*file.*set runtime\.out"):
        launch(tiny_recipe("kd", out=tmp_path / "file" / "runs"))


def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = launch(tiny_recipe("kd", out=tmp_path / "whole"))

    def full(path: Path) -> None:
        if path.name == "weights.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recipe = tiny_recipe("kd", out=tmp_path / "full")
    with monkeypatch.context() as patch:
        patch.setattr(files, "_sync", full)
        with pytest.raises(RunFailed, match=r"No space left on device; free some space"):
            launch(recipe)
    (folder,) = (p for p in (tmp_path / "full").glob("*/*") if p.is_dir())
    assert not (folder / "result.json").exists()
    assert not list((folder / "checkpoints").iterdir())
    assert launch(recipe).values["test"] == whole.values["test"]


def test_a_teacher_at_chance_level_is_announced(tmp_path: Path) -> None:
    with pytest.warns(WeakTeacherWarning, match=r"teacher 'teacher' reaches top1 \d+\.\d on validation"):
        launch(tiny_recipe("kd", out=tmp_path, recipe={**FAST, "teacher": {"use": "frozen", "model": {"use": "linear"}}}))


def test_a_teacher_with_other_classes_is_refused_before_training(tmp_path: Path) -> None:
    other = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 7))
    recipe = tiny_recipe("kd", out=tmp_path, recipe={"teacher": {"use": "frozen", "model": other}})
    with pytest.raises(CapabilityError, match="the teacher tells 7 classes apart, the student 10"):
        launch(recipe)
    assert not list(tmp_path.glob("*/*/result.json"))
