"""What a finished run says of itself: `result.json`, written last and by rename, and `predictions.npz` behind it."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdzoo.engine.evaluate import Evaluation, evaluate
from kdzoo.engine.files import replace_file
from kdzoo.engine.flops import FlopCounter
from kdzoo.engine.run import Run
from kdzoo.engine.selection import Selection
from kdzoo.errors import WeakTeacherWarning
from kdzoo.weights import load_weights

FORMAT = 1


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, its identity, and what `result.json` holds."""

    folder: Path
    identity: str
    values: Mapping[str, Any]

    @property
    def metric(self) -> float:
        """The headline test metric of the last epoch."""
        return float(self.values["test"]["last"][self.values["metric"]])


def conclude(run: Run, selection: Selection, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Evaluate the last and the best epoch's weights, and the teachers, on test; results and per-sample arrays."""
    model = run.deployed()
    with FlopCounter() as flops:
        last = evaluate(run, model, "test")
    arrays = {f"last.{name}": value for name, value in last.arrays.items()}
    test = {"last": last.metrics}
    if selection.path.exists():
        kept = {name: t.detach().clone() for name, t in model.state_dict().items()}
        load_weights(model, selection.path, "best")
        best = evaluate(run, model, "test")
        model.load_state_dict(kept)
        test["best"] = best.metrics
        arrays |= _further("best", best.arrays, last.arrays)
    teachers, theirs = teacher_rows(run, "test")
    for name, found in theirs.items():
        teachers[name]["fidelity"] = run.task.fidelity(last.arrays, found)
        arrays |= _further(f"teacher:{name}", found, last.arrays)
    values = {
        "test": test,
        "validation": {"last": selection.latest, "best": selection.best, "best_epoch": selection.best_epoch},
        "teachers": teachers,
        "parameters": sizes(run, model),
        "data": run.task.facts() | run.task.preprocessing(),
        "cost": {"inference_flops": round(flops.total / max(run.task.size("test"), 1))},
        "metric": run.task.metric,
        "chance": run.task.chance(),
        "bounds": None if run.task.bounds is None else list(run.task.bounds),
        "higher_is_better": run.task.higher_is_better,
    }
    return values, arrays


def _further(owner: str, arrays: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`<owner>.<name>` -> array, without those that are the same for every model (labels)."""
    same = [name for name, value in arrays.items() if name in known and torch.equal(value, known[name])]
    return {f"{owner}.{name}": value for name, value in arrays.items() if name not in same}


def teacher_rows(run: Run, split: str) -> tuple[dict[str, Any], dict[str, Mapping[str, Tensor]]]:
    """Each model-backed teacher's metrics on a split and its size; and its per-sample arrays."""
    rows: dict[str, Any] = {}
    arrays: dict[str, Mapping[str, Tensor]] = {}
    for name, teacher in run.teachers.items():
        if teacher.model is None:
            continue
        found = evaluated(run, name, split)
        rows[name] = {split: found.metrics, "parameters": count(teacher.model), "kind": run.settings["teachers"][name]["use"]}
        arrays[name] = found.arrays
    return rows, arrays


def evaluated(run: Run, teacher: str, split: str) -> Evaluation:
    """What a teacher's model reaches on a split; a frozen one's is found once a source."""
    if not run.teachers[teacher].frozen:
        return evaluate(run, run.model(teacher), split)
    known = run.source.evaluations
    if (teacher, split) not in known:
        with run.source.common():
            known[teacher, split] = run.teachers[teacher].evaluated(
                run, split, lambda: evaluate(run, run.model(teacher), split)
            )
    return known[teacher, split]


def warn_of_weak_teachers(run: Run) -> None:
    """A frozen teacher no better than guessing is most likely the wrong file; say so, with its number, before training."""
    guess = run.task.chance()
    split = "validation" if run.task.size("validation") else "test"
    for name, teacher in run.teachers.items():
        if guess is None or teacher.model is None or not teacher.frozen:
            continue
        value = evaluated(run, name, split).metrics[run.task.metric]
        if value < _better_than_guessing(guess, run.task.bounds):
            own = isinstance(run.settings["teachers"][name].get("model"), nn.Module)
            what = "the module that you gave seems untrained: train it, or load its weights, first"
            warnings.warn(
                f"teacher {name!r} reaches {run.task.metric} {value:.1f} on {split}, about what guessing gives "
                f"({guess:.1f}); {what if own else 'check its checkpoint and its data set'}.",
                WeakTeacherWarning,
                stacklevel=2,
            )


def _better_than_guessing(guess: float, bounds: tuple[float, float] | None) -> float:
    """What a teacher that learned something reaches: half as much again, or a quarter of the way to perfection."""
    return 1.5 * guess if bounds is None else min(1.5 * guess, guess + (bounds[1] - guess) / 4)


def sizes(run: Run, model: nn.Module) -> dict[str, int]:
    """Parameters of the student, of what is deployed (SimKD's is larger), and of the methods' own modules in training."""
    own = sum(count(method) for method in run.methods.values())
    return {"student": count(run.student), "deployed": count(model), "methods": own}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def save_arrays(path: Path, arrays: Mapping[str, Tensor]) -> None:
    """Write per-sample arrays as a compressed npz, atomically."""
    plain: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}

    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            np.savez_compressed(file, **plain)

    replace_file(path, write)


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine and time, in words that mean something elsewhere."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {processor()}, {os.cpu_count()} cores"
    names = ("torch", "torchvision", "numpy", "omegaconf", "kdzoo")
    return {
        "device": where,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in names},
        "date": datetime.now(UTC).date().isoformat(),
    }


@cache
def processor() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"
