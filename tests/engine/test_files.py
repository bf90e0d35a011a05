"""Run folders under kills and company: a wait is explained, nothing temporary stays, the newest sound checkpoint lives."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdzoo.engine.files import LEFTOVER, clear_leftovers, locked, replace_file, replace_folder, write_json
from kdzoo.engine.launch import launch
from kdzoo.errors import RecipeError
from kdzoo.recipe.load import Recipe
from kdzoo.testing import tiny_recipe
from kdzoo.testing.laws.helpers import Killed, Killer

HOLDING = """
import sys
from pathlib import Path
from kdzoo.engine.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def recipe(out: Path, *, keep: int = 1, seed: int = 0) -> Recipe:
    made = tiny_recipe("hard_label", out=out, recipe={"seed": seed, "train": {"epochs": 1, "batch_size": 8}})
    made.settings["runtime"].update(checkpoint_every=1, keep=keep)
    return made


def test_a_waiting_command_says_for_whom_and_when_it_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        def heard(sentence: str) -> None:
            said.append(sentence)
            if holder.stdin is not None and not holder.stdin.closed:
                holder.stdin.close()  # only now does the other one let go

        with locked(tmp_path, heard):
            pass
    assert len(said) == 2
    assert said[0].startswith(f"Waiting for process {holder.pid} on ")
    assert said[0].endswith(f"), which works in {tmp_path}.")
    assert said[1] == f"{tmp_path} is free now; going on."


def test_a_free_folder_is_held_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        with locked(tmp_path, said.append):
            pass
    assert not said


def test_every_temporary_name_is_known_as_a_leftover(tmp_path: Path) -> None:
    seen: list[str] = []
    replace_file(tmp_path / "a.json", lambda path: (seen.append(path.name), path.write_text("")))
    replace_folder(tmp_path / "00-1", lambda path: seen.append(path.name))
    assert len(seen) == 2
    assert all(LEFTOVER.fullmatch(name) for name in seen)


def test_what_killed_processes_left_goes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".recipe.yaml.4711").write_text("half")
    (tmp_path / ".00-00000-0000002.4711").mkdir()
    (tmp_path / ".00-00000-0000002.4711" / "weights.safetensors").write_text("half")
    for name in ("recipe.yaml", ".lock", ".notes", ".mine.txt"):
        (tmp_path / name).write_text("")
    clear_leftovers(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", ".mine.txt", ".notes", "recipe.yaml"]


def test_a_write_removes_what_a_killed_one_left_of_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdzoo.digests.of_text", {platform.node(): "here"}.__getitem__)
    child = subprocess.Popen(["true"])
    child.wait()
    killed = f".a.json.here.{child.pid}"
    others = {f".a.json.here.{os.getppid()}", f".a.json.elsewhere.{child.pid}", f".b.json.here.{child.pid}", ".a.json.x"}
    for name in {killed} | others:
        (tmp_path / name).touch()
    write_json(tmp_path / "a.json", {})
    assert {path.name for path in tmp_path.iterdir()} == {"a.json"} | others


@pytest.mark.parametrize("keep", [1, 2])
def test_a_broken_checkpoint_does_not_outlive_good_ones(keep: int, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        launch(recipe(tmp_path, keep=2), listeners=[Killer(4)])
    (folder,) = tmp_path.glob("*/*/checkpoints")
    newest = sorted(folder.iterdir())[-1]
    (newest / "state.pt").write_bytes(b"")
    ahead = folder / "00-00000-0000099"
    shutil.copytree(newest, ahead)
    with pytest.warns(UserWarning, match="falling back"), pytest.raises(Killed):
        launch(recipe(tmp_path, keep=keep), listeners=[Killer(1)])
    left = sorted(folder.iterdir())
    assert ahead not in left
    assert newest not in left
    assert len(left) <= keep
    launch(recipe(tmp_path, keep=keep))


def test_a_checkpoint_of_another_run_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        launch(recipe(tmp_path), listeners=[Killer(3)])
    (source,) = tmp_path.glob("*/*/checkpoints")
    with pytest.raises(Killed):
        launch(recipe(tmp_path, seed=1), listeners=[Killer(1)])
    other = next(path for path in tmp_path.glob("*/*") if path != source.parent)
    shutil.copytree(source, other / "checkpoints")
    with pytest.warns(UserWarning, match="it is of a run with other settings"):
        launch(recipe(tmp_path, seed=1))


def test_a_folder_with_a_run_of_other_settings_is_kept(tmp_path: Path) -> None:
    first = launch(recipe(tmp_path), folder=tmp_path / "mine")
    with pytest.raises(RecipeError, match=r"holds a run of other settings .* which is kept: name another folder, or remove"):
        launch(recipe(tmp_path, seed=1), folder=tmp_path / "mine")
    assert json.loads((first.folder / "result.json").read_text())["identity"] == first.identity
    assert launch(recipe(tmp_path, seed=1), folder=tmp_path / "mine", force=True).identity != first.identity


def test_the_log_of_a_finished_run_ends_with_its_result(tmp_path: Path) -> None:
    folder = launch(recipe(tmp_path)).folder
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "done"
    assert (folder / "result.json").stat().st_mtime_ns >= (folder / "metrics.jsonl").stat().st_mtime_ns
