"""A kill before any file operation of a run: the same command again ends as if nothing had happened, and leaves nothing behind.

A forked child counts what it does with files below the output folder, by an audit hook, and kills itself before the n-th. Each
sweep is a process of its own: autograd's threads, which other tests have started, and forks do not go together.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo import digests
from kdzoo.analysis.analyses import analyze
from kdzoo.benchmark.execute.runner import bench
from kdzoo.benchmark.report.merge import leaderboard_of
from kdzoo.benchmark.tune.search import tune
from kdzoo.cli import main
from kdzoo.engine.launch import launch
from kdzoo.export import deployed, export
from kdzoo.recipe.load import Recipe
from kdzoo.testing import tiny_recipe
from kdzoo.testing.laws.helpers import Killed, Killer

pytestmark = [
    pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning"),
    pytest.mark.filterwarnings("ignore:teacher 'teacher' reaches"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
EVENTS = frozenset(
    {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "fcntl.flock"}
)
VOLATILE = frozenset(
    [
        "samples_per_second",
        "seconds",
        "cpu_seconds",
        "time",
        "times",
        "environment",
        "sessions",
        "created",
        "date",
        "command",
        "cost",
        "peak_memory_mb",
    ]
)
FEW = 2
"""Kills of each kind in the fast suite."""
MANY = int(os.environ.get("KDZOO_KILLS", "12"))
"""In the longer checks, evenly over the operations; KDZOO_KILLS=1000 is before every one (half an hour)."""

Action = Callable[[Path], object]
DATA = {"data": "digits", "train_size": 44, "validation": 1000, "crop": 1}
SHORT = {"epochs": 1, "batch_size": 15}


def short(out: Path, **sections: Any) -> Recipe:
    recipe = tiny_recipe("crd", {"negatives": 8, "width": 8}, out=out, recipe={"train": SHORT, **sections})
    recipe.settings["runtime"]["checkpoint_every"] = 1
    return recipe


def train(out: Path) -> None:
    launch(short(out))


def half_trained(out: Path) -> None:
    with pytest.raises(Killed):
        launch(short(out), listeners=[Killer(2)])


def train_anew(out: Path) -> None:
    launch(short(out), force=True)


def with_teacher(out: Path) -> None:
    student = {"use": "tiny_cnn", "widths": [6, 12]}
    inner = {"task": DATA, "student": student, "methods": {"hard_label": {}}, "train": SHORT}
    launch(short(out, teacher={"use": "frozen", "recipe": inner}))


def compare(out: Path) -> None:
    student = {"use": "tiny_cnn", "widths": [4, 8]}
    recipe = {"name": "two", "task": DATA, "student": student, "teacher": {"use": "frozen", "model": student}}
    rows = {"methods": {"kd": {"methods": {"kd": {}, "hard_label": {}}}}, "seeds": [0]}
    runtime = {"device": "cpu", "checkpoint_every": 1, "log_every": 1}
    bench({**recipe, "train": SHORT, "bench": rows, "runtime": runtime}, out=out, workers=1)


def ask_ahead(out: Path) -> None:
    """What `kdzoo cache` does."""
    student = {"use": "tiny_cnn", "widths": [4, 8]}
    recipe = {
        "name": "cached",
        "task": {**DATA, "crop": 0, "flip": False},
        "student": student,
        "teacher": {"use": "cached", "model": student},
        "methods": {"kd": {}},
        "train": SHORT,
        "runtime": {"device": "cpu", "out": str(out)},
    }
    file = out.parent / "cached.yaml"
    file.write_text(json.dumps(recipe))
    assert main(["cache", str(file)]) == 0


def search(out: Path) -> None:
    recipe = {
        "name": "two",
        "task": {**DATA, "validation": 100},
        "student": {"use": "tiny_cnn", "widths": [4, 8]},
        "methods": {"hard_label": {}},
        "train": SHORT,
        "runtime": {"device": "cpu"},
        "bench": {
            "tune": {"trials": 2, "space": {"all": {"optimizers.student.lr": [0.01, 0.1]}}},
            "methods": {"smooth": {"methods": {"hard_label": {"targets": ["smooth"]}}}},
            "seeds": [0],
        },
    }
    tune(recipe, out=out, workers=1)


def analyze_run(out: Path) -> None:
    (run,) = {path.parent for path in out.rglob("result.json")}
    analyze("calibration", [run])


def export_run(out: Path) -> None:
    (run,) = {path.parent for path in out.rglob("result.json")}
    export(deployed(run), out / "exported", force=True)


def merge(out: Path) -> None:
    leaderboard_of([out / "two"], out / "board")


def nothing(out: Path) -> None:
    out.mkdir()


@dataclass(frozen=True)
class Kind:
    """How a folder starts, what is killed in it, and what is called again afterwards."""

    start: Action
    killed: Action
    again: Action


KINDS = {
    "train": Kind(nothing, train, train),
    "resume": Kind(half_trained, train, train),
    "force": Kind(train, train_anew, train),
    "teacher": Kind(nothing, with_teacher, with_teacher),
    "bench": Kind(nothing, compare, compare),
    "tune": Kind(nothing, search, search),
    "cache": Kind(nothing, ask_ahead, ask_ahead),
    "analyze": Kind(train, analyze_run, analyze_run),
    "export": Kind(train, export_run, export_run),
    "leaderboard": Kind(compare, merge, merge),
}


def forked(action: Action, out: Path, *, kill_before: int | None = None) -> tuple[int, int]:
    """The status of a child that carries out `action` in `out`, and how many file operations it did."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        return os.waitpid(child, 0)[1], int(said or 0)
    done = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event in EVENTS and _touches(event, arguments, str(out)):
            done += 1
            if done == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)

    status = 1
    try:
        sys.addaudithook(hook)
        action(out)
        os.write(writer, str(done).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _touches(event: str, arguments: tuple[Any, ...], out: str) -> bool:
    """Whether it is about a file below `out`; what is named relative to an open folder is, and so is a lock."""
    named = [os.fsdecode(each) for each in arguments if isinstance(each, str | bytes | os.PathLike)]
    inside = any(each.startswith(out) for each in named) or not any(os.path.isabs(each) for each in named)
    return inside and (event != "open" or named[:1] != ["."])


def left(folder: Path) -> dict[str, Any]:
    """What a folder holds, by relative name, without times and speeds."""
    return {path.relative_to(folder).as_posix(): _content(path) for path in sorted(folder.rglob("*")) if path.name != ".lock"}


def _content(path: Path) -> Any:
    if path.is_dir():
        return "folder"
    if path.suffix == ".jsonl":
        return [_lasting(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix in (".safetensors", ".npz"):
        return digests.of_file(path)
    if path.name in ("result.json", "run.json"):
        return _lasting(json.loads(path.read_text()))
    return "file"  # a copy of the recipe with its folders, digests of times, reports with dates


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in VOLATILE}
    return list(map(_lasting, value)) if isinstance(value, list) else value


def moments(operations: int, sample: int | None) -> Iterator[int]:
    """Before which operations a child is killed: all, or some that lie evenly and end with the last."""
    step = 1 if sample is None else max(operations // sample, 1)
    yield from range(operations, 0, -step)


def sweep(kind: Kind, folder: Path, sample: int | None) -> None:
    start, whole, broken = folder / "start", folder / "whole", folder / "broken"
    kind.start(start)
    shutil.copytree(start, whole)
    status, operations = forked(kind.killed, whole)
    assert status == 0
    assert operations > 3, "the hook saw no work"
    kind.again(whole)
    expected = left(whole)
    for number in moments(operations, sample):
        shutil.copytree(start, broken)
        status, _ = forked(kind.killed, broken, kill_before=number)
        assert os.WIFSIGNALED(status), f"the child ended by itself before operation {number} of {operations}"
        kind.again(broken)
        now = left(broken)
        other = sorted(name for name in now.keys() | expected.keys() if now.get(name) != expected.get(name))
        assert not other, f"killed before operation {number} of {operations}: {', '.join(other)}"
        shutil.rmtree(broken)


@pytest.mark.parametrize("kind", ["train", "bench"])  # the others are among the longer checks
def test_some_kills_change_nothing(kind: str, tmp_path: Path) -> None:
    swept(kind, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_many_kills_change_nothing(kind: str, tmp_path: Path) -> None:
    swept(kind, tmp_path, MANY)


def swept(kind: str, folder: Path, sample: int | None) -> None:
    command = [sys.executable, "-W", "ignore", __file__, kind, str(folder), str(sample or "")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    torch.set_num_threads(1)  # a forked child has none of its parent's threads, and would wait for them
    sweep(KINDS[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3] else None)
