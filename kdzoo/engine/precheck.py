"""What can be found wrong with a recipe before anything is trained: no data are read and no model is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdzoo.engine.assemble import method_of
from kdzoo.engine.needs import check, check_teachers, merge
from kdzoo.protocols import Task
from kdzoo.recipe.build import build

NAMED = ("teachers", "optimizers", "schedules")


def precheck(settings: Mapping[str, Any], provenance: Mapping[str, str] | None = None) -> None:
    """Make the methods, teachers, optimizers and schedules, and compare what methods need with the task and the recipe.

    Args: provenance: where each setting was written, for messages.

    Raises RecipeError for a value out of range, CapabilityError for a need that nobody serves.
    """
    methods = {label: method_of(label, spec, provenance) for label, spec in settings["methods"].items()}
    needs = {label: method.needs() for label, method in methods.items()}
    merge(needs)
    task: Task = build("tasks", settings["task"], "task", provenance=provenance)
    check(needs, task.capabilities, task=settings["task"]["use"], accumulate=settings["train"]["accumulate"])
    made = {
        kind: {name: build(kind, spec, f"{kind}.{name}", provenance=provenance) for name, spec in settings[kind].items()}
        for kind in NAMED
    }
    check_teachers(methods, needs, made["teachers"])
