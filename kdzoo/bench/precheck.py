"""What can be found wrong with a cell before anything is trained: no data are read and no teacher is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdzoo import registry
from kdzoo.engine.assemble import method_of
from kdzoo.engine.needs import check, merge
from kdzoo.errors import CapabilityError
from kdzoo.protocols import Task
from kdzoo.recipe.build import build


def precheck(settings: Mapping[str, Any]) -> None:
    """Build the methods and compare what they need with the task and the recipe.

    Raises RecipeError for a value out of range, CapabilityError for a need that nobody serves.
    """
    needs = {label: method_of(label, spec).needs() for label, spec in settings["methods"].items()}
    merge(needs)
    task: Task = build("tasks", settings["task"], "task")
    check(needs, task.capabilities, task=settings["task"]["use"], accumulate=settings["train"]["accumulate"])
    for label, own in needs.items():
        if own.teacher and not settings["teachers"]:
            raise CapabilityError(f"methods.{label} learns from a teacher, but there is none; add `teacher: ...`.")


def strangers(settings: Mapping[str, Any]) -> list[str]:
    """The plugins of this recipe that are in no installed package, so that others cannot simply repeat the result."""
    specs = [("methods", spec) for spec in settings["methods"].values()]
    specs += [("transforms", t) for _, spec in specs[:] for kind in ("logits", "targets") for t in spec[kind]]
    specs += [("teachers", spec) for spec in settings["teachers"].values()]
    specs += [("models", settings["student"]), ("tasks", settings["task"])]
    named = {(kind, spec["use"]) for kind, spec in specs if isinstance(spec, Mapping)}
    return sorted(name for kind, name in named if registry.is_local(registry.entry(kind, name)))
