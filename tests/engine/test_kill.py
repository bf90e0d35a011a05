"""SIGKILL at random moments, then the same command again: the end is exactly the uninterrupted one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from kdzoo.testing import tiny_recipe


def recipe_file(folder: Path) -> Path:
    """A two-stage method, a memory bank and a schedule: much state to lose."""
    from kdzoo.recipe.load import dump

    recipe = tiny_recipe(
        "crd",
        {"negatives": 8, "width": 8},
        recipe={
            "train": {"epochs": 12, "batch_size": 12},
            "schedules": {"optimizers.student.lr": {"use": "cosine"}, "methods.crd.weights.crd": {"use": "warmup", "until": 4}},
            "runtime": {"device": "cpu", "log_every": 1, "checkpoint_every": 2},
        },
    )
    path = folder / "recipe.yaml"
    path.write_text(dump(recipe.settings))
    return path


def start(recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kdzoo.cli", "run", str(recipe), f"runtime.out={out}"]
    with (out.parent / "errors.txt").open("wb") as errors:
        return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=errors)


def kill_after(process: subprocess.Popen[bytes], out: Path, more: int) -> bool:
    """Kill the process once it has logged `more` further lines; False if it ended before."""
    goal = None
    while process.poll() is None:
        logs = list(out.glob("*/*/metrics.jsonl"))
        lines = logs[0].read_bytes().count(b"\n") if logs else 0
        goal = lines + more if goal is None else goal
        if lines >= goal:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
    return False


def end_of(out: Path) -> tuple[Path, list[tuple[object, ...]]]:
    (result,) = out.glob("*/*/result.json")
    records = [json.loads(line) for line in (result.parent / "metrics.jsonl").read_text().splitlines()]
    return result.parent, [(r["epoch"], r["step"], r["loss"]) for r in records if r["event"] == "step"]


def check(tmp_path: Path, kills: int) -> None:
    recipe, draw = recipe_file(tmp_path), random.Random(kills)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(recipe, whole).wait() == 0, (tmp_path / "errors.txt").read_text()
    happened = 0
    for _ in range(kills):
        happened += kill_after(start(recipe, broken), broken, draw.randrange(1, max(3, 60 // kills)))
    assert start(recipe, broken).wait() == 0, (tmp_path / "errors.txt").read_text()
    assert happened, "no kill hit the run while it was training"
    (a, losses), (b, resumed) = end_of(whole), end_of(broken)
    assert losses == resumed
    first, second = load_file(a / "student.safetensors"), load_file(b / "student.safetensors")
    assert all(first[name].equal(second[name]) for name in first)
    assert (a / "predictions.npz").read_bytes() == (b / "predictions.npz").read_bytes()


@pytest.mark.slow
def test_three_kills_change_nothing(tmp_path: Path) -> None:
    check(tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    check(tmp_path, 20)
