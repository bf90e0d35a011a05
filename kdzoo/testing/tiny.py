"""Tiny recipes and runs: scikit-learn's digits, convolutional nets of a few hundred parameters, seconds on one core."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.components import method_of, needs_of
from kdzoo.engine.feed import Feed
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.protocol.outputs import Batch
from kdzoo.recipe.load import Recipe, load

STUDENT = {"use": "tiny_cnn", "widths": [4, 8]}
TEACHER = {"use": "tiny_cnn", "widths": [6, 12]}


def tiny_recipe(
    method: str, settings: Mapping[str, Any] | None = None, *, out: Path | str = "runs", recipe: Mapping[str, Any] | None = None
) -> Recipe:
    """A recipe that trains `method` with hard labels for two short epochs.

    Args:
        method, settings: the registered name, and its settings where the defaults are too large for a tiny run.
        out: where runs go.
        recipe: top-level sections that replace the tiny ones (`student`, `teacher`, `task`, `train`, ...); `methods` are
            further ones.
    """
    recipe = dict(recipe or {})
    methods: dict[str, Any] = {"hard_label": {}, **recipe.pop("methods", {}), method: dict(settings or {})}
    base: dict[str, Any] = {
        "name": f"tiny-{method}",
        "task": {"data": "digits", "train_size": 44, "validation": 1000, "crop": 1},
        "student": STUDENT,
        "methods": methods,
        "train": {"epochs": 2, "batch_size": 12},
        "optimizers": {"student": {"use": "sgd", "lr": 0.02}},
        "runtime": {"device": "cpu", "out": str(out), "log_every": 1},
    }
    base |= recipe
    base |= _teacher(load(base).settings, base) if "teacher" not in base and "teachers" not in base else {}
    return load(base)


def _teacher(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """A teacher of the kind that the methods need."""
    needs = [needs_of(label, method_of(label, spec)) for label, spec in settings["methods"].items()]
    if any(need.teacher_grad for need in needs):
        optimizers = {**base["optimizers"], "teacher": {"use": "sgd", "lr": 0.01}}
        return {"teacher": {"use": "trainable", "model": TEACHER}, "optimizers": optimizers}
    return {"teacher": {"use": "frozen", "model": TEACHER}} if any(need.teacher for need in needs) else {}


@contextmanager
def tiny_run(recipe: Recipe, *, stage: int = -1) -> Iterator[Run]:
    """An assembled run inside one of its stages (default: the main one), optimizers made, ready to step."""
    run = assemble(recipe.settings)
    schedules: dict[str, Any] = {}
    plan = StagePlan.of(run, recipe.settings["train"]["epochs"], schedules)
    with plan.entered(run, stage % len(plan.stages)):
        yield run


def first_window(run: Run) -> list[Batch]:
    """The first window of training batches, with the frozen teachers' answers."""
    return next(Feed(run).windows(0, start=0, size=run.needs.window or 1))


def registered(kind: str) -> list[str]:
    """Names of every sound plugin of a kind."""
    return [name for name, entry in registry.discover(kind).items() if entry.problem is None]
