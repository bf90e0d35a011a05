"""The identity of a run is about content: of model folders, and of how many processes share a batch."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdzoo import registry
from kdzoo.engine.run_identity import identify
from kdzoo.models.tiny import TinyCNN
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


def test_two_processes_are_another_run_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = identify(tiny_recipe("kd").settings)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert identify(tiny_recipe("kd").settings) == alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert identify(tiny_recipe("kd").settings) != alone
