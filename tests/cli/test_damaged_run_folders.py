"""A damaged file of a run folder, or of an export, is named by whatever command reads it; nobody sees a traceback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.cli import main

RECIPE = """\
task: {use: image_classification, data: digits, train_size: 44, validation: 30}
student: {use: mlp, hidden: [4]}
methods: {hard_label: {}}
train: {epochs: 1}
"""
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half of it": lambda content: content[: len(content) // 2],
    "a list": lambda content: b"[]",
    "null": lambda content: b"null",
    "an empty mapping": lambda content: b"{}",
    "mappings of numbers": lambda content: (
        b'{"test": 1, "validation": 2, "weights": 3, "recipe": 4, "sessions": 5, "identity": 6}'
    ),
    "nested too deep": lambda content: b"[" * 20_000,
    "no text": lambda content: b"\xff\xfe\x00" * 3,
}
READERS: dict[str, tuple[str, ...]] = {
    "eval": ("result.json", "run.json", "recipe.yaml", "student.safetensors"),
    "export --out again": ("result.json", "recipe.yaml", "student.safetensors"),
    "analyze confidence": ("result.json", "recipe.yaml", "student.safetensors"),
    "run --quiet": ("result.json", "run.json", "recipe.yaml"),
    "compare twin": ("result.json", "metrics.jsonl", "predictions.npz"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, its twin, and its export."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "r.yaml").write_text(RECIPE)
    assert main(["run", str(folder / "r.yaml"), f"runtime.out={folder}", "--quiet"]) == 0
    next(folder.rglob("result.json")).parent.rename(folder / "done")
    shutil.copytree(folder / "done", folder / "twin")
    assert main(["export", str(folder / "done"), "--out", str(folder / "exported")]) == 0
    return folder


def outcome(kdzoo: Callable[..., Any], file: Path, damage: str, *words: str) -> str:
    """What is wrong with how the damage is told; empty if nothing is."""
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    code, out, err = kdzoo(*words)
    if code not in (0, 2, 3) or "should not happen" in err or "Traceback" in err:
        return f"{code}: {err}"
    if code and file.name not in err + out and str(file.parent) not in err + out:
        return f"the file is not named: {err}"
    return ""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("words", "name"), [(words, name) for words, names in READERS.items() for name in names])
def test_a_damaged_file_of_a_run_is_named(
    words: str, name: str, damage: str, whole: Path, kdzoo: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "here")
    os.chdir(tmp_path / "here")
    command, *rest = words.split()
    assert outcome(kdzoo, Path("done") / name, damage, *([command, *rest, "done"])) == ""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["eval", "export"])
def test_a_damaged_card_of_an_export_is_named(
    command: str, damage: str, whole: Path, kdzoo: Callable[..., Any], tmp_path: Path
) -> None:
    shutil.copytree(whole / "exported", tmp_path / "exported")
    assert outcome(kdzoo, Path("exported/model.json"), damage, command, "exported") == ""
