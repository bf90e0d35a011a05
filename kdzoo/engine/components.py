"""From settings to objects: all that can be made, and found wrong, before data are read, models built and teachers trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.nn import ModuleList

from kdzoo.engine.models_check import check_models
from kdzoo.engine.names_check import check_names
from kdzoo.engine.needs_check import (
    check,
    check_kept,
    check_reading,
    check_rows,
    check_teachers,
    check_transforms,
    check_views,
    merge,
)
from kdzoo.engine.said_anew import holds
from kdzoo.errors import KdzooError, PluginError, RecipeError, did_you_mean
from kdzoo.protocol.blame import hook_of, returned
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.roles import Optimizer
from kdzoo.protocol.task import Task
from kdzoo.protocol.teacher import Teacher
from kdzoo.recipe.build import build, inside, split_reserved
from kdzoo.recipe.schema import RECIPE
from kdzoo.recipe.used import check_files
from kdzoo.schedules import Schedule


@dataclass(frozen=True)
class Made:
    """What a recipe's settings describe; teachers have no model yet, and the task no data."""

    methods: dict[str, Method]
    own_needs: Mapping[str, Needs]
    needs: Needs
    task: Task
    teachers: Mapping[str, Teacher]
    optimizers: dict[str, Optimizer]
    schedules: Mapping[str, Schedule]


def make(settings: Mapping[str, Any], provenance: Mapping[str, str] | None = None) -> Made:
    """Make everything, and compare what methods need with the task, the teachers and the recipe.

    Args: provenance: where each setting was written, for messages.

    Raises RecipeError for a value out of range, CapabilityError for a need that nobody serves.
    """

    def named(kind: str) -> dict[str, Any]:
        return {name: build(kind, spec, f"{kind}.{name}", provenance=provenance) for name, spec in settings[kind].items()}

    methods = {label: method_of(label, spec, provenance) for label, spec in settings["methods"].items()}
    own = {label: needs_of(label, method) for label, method in methods.items()}
    needs = merge(own)
    task: Task = build("tasks", settings["task"], "task", provenance=provenance)
    check(own, task.capabilities, task=settings["task"]["use"], accumulate=settings["train"]["accumulate"])
    check_rows(own, distributions=task.distributions)
    check_reading(methods, own, heads=task.heads if holds(task, "heads", of="forward") else None)
    check_views(own, task.views_offered)
    teachers: dict[str, Teacher] = named("teachers")
    for name, teacher in teachers.items():
        teacher.name = name
    check_teachers(methods, own, teachers)
    check_kept(teachers, task.changing)
    check_transforms(methods, own)
    check_names(settings, methods, teachers, learners=needs.learners)
    made = Made(methods, own, needs, task, teachers, named("optimizers"), named("schedules"))
    for name, spec in settings["teachers"].items():
        for path, recipe in inside("teachers", spec, f"teachers.{name}", RECIPE).items():
            _make_nested(recipe, path, provenance or {})
    check_files(settings, provenance or {})
    check_models(settings, task, methods, own, teachers, provenance)
    return made


def _make_nested(settings: Mapping[str, Any], path: str, provenance: Mapping[str, str]) -> None:
    """The same for the recipe of a teacher, which is trained before the student."""
    own = {at.removeprefix(f"{path}."): text for at, text in provenance.items() if at.startswith(f"{path}.")}
    try:
        make(settings, own)
    except KdzooError as error:
        raise type(error)(f"{path}: {error}") from error


def needs_of(label: str, method: Method) -> Needs:
    """What a method needs."""
    with hook_of(f"methods.{label}", "needs"):
        return returned(method.needs(), Needs, f"methods.{label}", "needs")


def method_of(label: str, spec: Mapping[str, Any], provenance: Mapping[str, str] | None = None) -> Method:
    """The method that a recipe's label stands for, with its transforms and weights."""
    own, reserved = split_reserved(spec)
    method = build("methods", own, f"methods.{label}", provenance=provenance)
    if not isinstance(method, Method):
        raise PluginError(f"methods.{label}: {own['use']!r} is a {type(method).__name__}, not a kdzoo.Method.")
    _check_attributes(method, own["use"])
    method.label, method.teacher, method.reads = label, reserved["teacher"], reserved["reads"]
    for kind in ("logits", "targets"):
        for number, transform in enumerate(reserved[kind]):
            getattr(method, kind).append(build("transforms", transform, f"methods.{label}.{kind}[{number}]"))
    for name, weight in reserved["weights"].items():
        if name not in method.weights:
            raise RecipeError(f"methods.{label}.weights.{name}: there is no such term; {did_you_mean(name, method.weights)}")
        method.weights[name] = float(weight)
    return method


def _check_attributes(method: Method, use: str) -> None:
    """Refuse a method that keeps something of its own under a name that the engine uses."""
    kinds: dict[str, type[Any]] = {
        "label": str,
        "teacher": type(None),
        "reads": type(None),
        "weights": dict,
        "logits": ModuleList,
        "targets": ModuleList,
    }
    for name, kind in kinds.items():
        if not isinstance(getattr(method, name, None), kind):
            raise PluginError(
                f"method {use!r} sets its attribute {name!r}, which every method has for the engine's use "
                f"({', '.join(kinds)} are taken); give it another name."
            )
