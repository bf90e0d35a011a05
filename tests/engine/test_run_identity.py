"""The identity of a run is about content: of model folders, and of how many processes share a batch."""

from __future__ import annotations

import importlib.util
import shutil
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kdzoo_logits.hard_label import HardLabel
from PIL import Image

from kdzoo import registry, run
from kdzoo.engine.launch import launch
from kdzoo.engine.results import Result
from kdzoo.engine.run_identity import forget_data, identify
from kdzoo.models.tiny import TinyCNN
from kdzoo.recipe.load import load
from kdzoo.testing import tiny_recipe


def saved(*, folder: str, classes: int, channels: int) -> TinyCNN:
    return TinyCNN(classes=classes, channels=channels, widths=(4, 8))


def of(folder: Path | str) -> str:
    registry.register("models", "identity_saved", saved)
    return identify(tiny_recipe("hard_label", recipe={"student": {"use": "identity_saved", "folder": str(folder)}}).settings)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer" / "vocabulary.txt").write_text("a b")
    return folder


def test_a_copied_model_folder_is_the_same_model(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "elsewhere")
    assert of(model) == of(tmp_path / "elsewhere")


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer/vocabulary.txt"])
def test_a_changed_file_of_a_model_folder_is_another_run(model: Path, changed: str) -> None:
    before = of(model)
    (model / changed).write_text("other")
    assert of(model) != before


def test_a_folder_without_weights_is_only_a_name(tmp_path: Path) -> None:
    before = of(tmp_path)
    (tmp_path / "notes.txt").write_text("more")
    assert of(tmp_path) == before


@pytest.mark.parametrize("text", ["x" * 5000, "a\0b", "-" * 300])
def test_a_text_that_can_be_no_path_is_no_failure(text: str) -> None:
    assert len(of(text)) == 16


@pytest.mark.parametrize("where", ["student", "methods"])
def test_the_content_of_a_file_below_the_users_own_folder_counts(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tabled(HardLabel):
        def __init__(self, *, file: str = "") -> None:
            super().__init__()

    monkeypatch.setenv("HOME", str(tmp_path))
    registry.register("models", "identity_saved", saved)
    registry.register("methods", "tabled", Tabled)
    settings = {"student": {"use": "identity_saved", "folder": "~/table.pt"}} if where == "student" else {}
    found = set()
    for text in ("one", "other"):
        (tmp_path / "table.pt").write_text(text)
        found.add(
            identify(tiny_recipe("tabled", {"file": "~/table.pt"} if where == "methods" else {}, recipe=settings).settings)
        )
    assert len(found) == 2


def _images(folder: Path, shade: int) -> dict[str, Any]:
    for part in ("train", "test"):
        for number in range(2):
            place = folder / part / str(number)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), shade + number, np.uint8)).save(place / "0.png")
    return {"use": "image_classification", "data": {"use": "image_folder", "folder": str(folder), "channels": 1}}


def test_the_data_of_a_teachers_recipe_count(tmp_path: Path) -> None:
    found = set()
    for shade in (10, 20):
        forget_data()
        inner = {"task": _images(tmp_path / "images", shade), "student": "tiny_cnn", "methods": {"hard_label": {}}}
        outer = {"task": {"data": "digits"}, "student": "tiny_cnn", "methods": {"kd": {}}}
        found.add(identify(load({**outer, "teacher": {"use": "frozen", "recipe": inner}}).settings))
    assert len(found) == 2


def test_data_that_changed_between_two_calls_are_another_run(tmp_path: Path) -> None:
    recipe = {
        "task": {**_images(tmp_path / "images", 10), "validation": 0},
        "student": {"use": "mlp", "hidden": [4]},
        "methods": {"hard_label": {}},
        "train": {"epochs": 1},
        "runtime": {"out": str(tmp_path / "runs"), "device": "cpu"},
    }
    before = run(recipe, progress=False)
    assert run(recipe, progress=False).folder == before.folder
    _images(tmp_path / "images", 20)
    assert run(recipe, progress=False).folder != before.folder


def test_two_processes_are_another_run_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = identify(tiny_recipe("kd").settings)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert identify(tiny_recipe("kd").settings) == alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert identify(tiny_recipe("kd").settings) != alone


NET = """
import torch
from torch import nn

WIDTH = {width}


class Net(nn.Module):
    def __init__(self, classes, channels, size):
        super().__init__()
        self.flat, self.linear = nn.Flatten(), nn.Linear(channels * size * size, classes)

    def forward(self, x):
        return {forward}


def build(*, classes: int, channels: int, size: int) -> nn.Module:
    return Net(classes, channels, size)
"""
PLAIN = "self.linear(self.flat(x)) * WIDTH"


def loaded(folder: Path, *, width: int = 1, forward: str = PLAIN) -> types.ModuleType:
    """A script's module."""
    folder.mkdir(exist_ok=True)
    file = folder / "own_script.py"
    file.write_text(NET.format(width=width, forward=forward))
    spec = importlib.util.spec_from_file_location("own_script", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHANGES: list[dict[str, Any]] = [{"width": 2}, {"forward": "self.linear(self.flat(x) + 1) * WIDTH"}]


@pytest.mark.parametrize("change", CHANGES)
def test_a_plugin_registered_again_with_another_body_is_trained_again(change: dict[str, Any], tmp_path: Path) -> None:
    def trained(module: types.ModuleType) -> Result:
        registry.register("models", "own_net", module.build)
        train = {"epochs": 1, "batch_size": 22}
        return launch(tiny_recipe("hard_label", out=tmp_path, recipe={"student": "own_net", "train": train}))

    before = trained(loaded(tmp_path / "a"))
    assert trained(loaded(tmp_path / "b")).folder == before.folder
    after = trained(loaded(tmp_path / "c", **change))
    assert after.folder != before.folder
    assert after.values["test"] != before.values["test"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_module_whose_forward_or_constant_changed_is_another_student(change: dict[str, Any], tmp_path: Path) -> None:
    def identity(module: types.ModuleType) -> str:
        torch.manual_seed(0)
        return identify(tiny_recipe("hard_label", recipe={"student": module.Net(10, 1, 8)}).settings)

    before = identity(loaded(tmp_path / "a"))
    assert identity(loaded(tmp_path / "b")) == before
    assert identity(loaded(tmp_path / "c", **change)) != before


def test_a_run_that_cannot_be_found_again_says_why(tmp_path: Path) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(NET.format(width=1, forward=PLAIN), space)
    registry.register("models", "typed_net", space["build"])
    said: list[str] = []
    train = {"epochs": 1, "batch_size": 22}
    launch(tiny_recipe("hard_label", out=tmp_path, recipe={"student": "typed_net", "train": train}), tell=said.append)
    assert any("no later process will find this run again" in sentence and "__main__.build" in sentence for sentence in said)
