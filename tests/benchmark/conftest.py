"""A bench of a linear student on a few digits, small enough to be trained in a test; and one made of numbers."""

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TASK = {"use": "image_classification", "data": "digits", "validation": 60}
TEACHER = {"name": "elder", "task": TASK, "student": "linear", "methods": {"hard_label": {}}, "train": {"epochs": 2}}
TINY = {
    "name": "tiny",
    "task": {**TASK, "train_size": 60},
    "student": "linear",
    "teacher": {"use": "frozen", "recipe": TEACHER},
    "methods": {"hard_label": {}, "kd": {"temperature": 2.0}},
    "train": {"epochs": 1, "batch_size": 30},
    "bench": {"seeds": [0, 1], "baseline": "kd", "methods": {"kd": {}, "dist": {"methods": {"hard_label": {}, "dist": {}}}}},
}


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """A bench recipe that writes below the test's folder; yours to change."""
    return copy.deepcopy(TINY) | {"runtime": {"out": str(tmp_path / "out")}}


@pytest.fixture(scope="session")
def written() -> Any:
    """The function itself, for tests that write into a folder of their own."""
    return bench_folder


@pytest.fixture
def made(tmp_path: Path) -> Any:
    """Writes the folder of a bench, see `bench_folder`."""
    return partial(bench_folder, tmp_path)


def bench_folder(
    path: Path,
    values: Any,
    *,
    baseline: str = "kd",
    alone: str = "alone",
    higher: bool = True,
    teacher: float = 99.0,
    budgets: Any = None,
    notes: tuple[Any, ...] = (),
    sizes: Any = None,
    also: tuple[Any, ...] = (),
    published: Any = None,
    chance: Any = None,
    items: bool = False,
) -> Any:
    """Write the folder of a bench with the given test metrics: row -> seed -> value, a sentence for a failure, or None."""
    folder = path / "made" / "bench"
    cells = [(row, seed, value) for row, seeds in values.items() for seed, value in seeds.items()]
    plan = {
        "format": 2,
        "name": "made",
        "description": "Numbers made up.",
        "identity": "0" * 16,
        "command": "kdzoo bench made",
        "recipe": "student: <linear>\n",
        "baseline": baseline,
        "alone": alone,
        "also": list(also),
        "notes": list(notes),
        "rows": [
            {
                "row": row,
                "identity": f"{row} at seed 0",
                "label": row,
                "point": {},
                "unpackaged": [],
                "budget": (budgets or {}).get(row, {"train.epochs": 3}),
            }
            for row in values
        ],
        "cells": [
            {"row": row, "seed": seed, "identity": f"{row}{seed}", "folder": f"cells/{row}/seed{seed}"}
            for row, seed, _ in cells
        ],
        "teachers": [],
    }
    write(folder / "plan.json", json.dumps(plan))
    for row, seed, value in cells:
        own = folder / "cells" / row / f"seed{seed}"
        if isinstance(value, str):
            write(own / "error.txt", f"{value}\n\nTraceback\n")
        elif value is not None:
            train = (sizes or {}).get(row, 60)
            found = result(f"{row}{seed}", value, higher=higher, teacher=None if row == alone else teacher, train=train)
            found["reference"] = (published or {}).get(row)
            found |= {} if chance is None else {"chance": chance}
            if items:
                own.mkdir(parents=True)
                answer(own / "predictions.npz", value, seed)
                (own / "recipe.yaml").write_text(f"seed: {seed}\nmethods: {{{row}: {{}}}}\n")
                steps = {"training_flops": 1_000_000 * (1 + len(row)), "teacher_forwards": 0 if row == alone else 600}
                found["cost"] = {"inference_flops": 20, "cpu_seconds": 1.5, "peak_bytes": 2**27, **steps}
                for own_teacher in found["teachers"].values():
                    own_teacher["fidelity"] = {"agreement": 90.0, "kl": 0.25}
            write(own / "result.json", json.dumps(found))
            write(own / "metrics.jsonl", "".join(epoch(number, value) for number in (1, 2, 3)))
    return folder


def answer(path: Path, percent: float, seed: int) -> None:
    """Predictions of 200 samples of 5 classes, `percent` of them right, and those of a teacher."""
    random, target = np.random.default_rng(seed), np.arange(200) % 5
    right = np.arange(200) < 2 * percent
    said = np.where(right, target, (target + 1) % 5)
    logits = random.normal(size=(200, 5)) + 6 * np.eye(5)[said]
    teacher = random.normal(size=(200, 5)) + 6 * np.eye(5)[target]
    arrays = {"last.score": 100.0 * right, "last.logits": logits, "last.target": target, "teacher:teacher.logits": teacher}
    np.savez_compressed(path, **arrays)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def epoch(number: Any, value: Any) -> Any:
    return json.dumps({"event": "epoch", "epoch": number, "validation": {"score": value - 3 + number}}) + "\n"


def result(identity: Any, value: Any, *, higher: Any, teacher: Any, train: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "identity": identity,
        "metric": "score",
        "higher_is_better": higher,
        "seed": 0,
        "seconds": 2.0,
        "test": {"last": {"score": value, "error": (100 - value) / 100}, "best": {"score": value - 1}},
        "validation": {"last": {"score": value}, "best": value, "best_epoch": 3},
        "teachers": {} if teacher is None else {"teacher": {"test": {"score": teacher}, "parameters": 900, "kind": "frozen"}},
        "parameters": {"student": 10, "deployed": 10, "methods": 0},
        "data": {"sizes": {"train": train}},
        "reference": None,
        "environment": {"device": "CPU", "threads": 1, "python": "3", "versions": {"kdzoo": "0"}, "date": "2020-01-01"},
    }
