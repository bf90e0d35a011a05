"""Models of a recipe, built without weights before data are read and teachers trained: what none can be, and missing taps."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from kdzoo import registry
from kdzoo.engine.names_check import STUDENT
from kdzoo.engine.said_anew import holds
from kdzoo.errors import KdzooError, MissingError, PluginError, RecipeError
from kdzoo.models.tap_names import expand, resolve
from kdzoo.protocol.blame import hook_of
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.task import Task
from kdzoo.protocol.teacher import Teacher
from kdzoo.recipe.build import ModelBuilder, build, inside
from kdzoo.recipe.paths import USE
from kdzoo.recipe.values import holds_object

MOST_MODULES = 20_000
MOST_BYTES = 2**40
FILLED, MADE = ("normal_", "uniform_"), ("randn", "rand")


def check_models(
    settings: Mapping[str, Any],
    task: Task,
    methods: Mapping[str, Method],
    needs: Mapping[str, Needs],
    teachers: Mapping[str, Teacher],
    provenance: Mapping[str, str] | None = None,
) -> None:
    """Refuse, with a RecipeError, models that their constructors refuse, and taps that the models do not have.

    Models whose numbers depend on the data in a way that nobody declares, and those that are read from files, are left to the
    run, and so are Python objects and what needs a package that is not there.
    """
    specs = {STUDENT: (STUDENT, settings["student"])}
    specs |= {name: (f"learners.{name}", spec) for name, spec in settings["learners"].items()}
    sketched = functools.partial(sketch, task, settings["task"])
    learners = {n: sketched(build("models", spec, path, provenance=provenance)) for n, (path, spec) in specs.items()}
    behind = {name: _behind(task, settings["task"], name, teacher) for name, teacher in teachers.items()}
    for name, spec in settings["teachers"].items():
        for path, model in inside("teachers", spec, f"teachers.{name}", "models").items():
            sketched(build("models", model, path, provenance=provenance))
    for label, method in methods.items():
        need = needs[label]
        chosen = method.teacher or next(iter(teachers), None)
        both = [(role, model, need.student_taps) for role, model in learners.items()]
        both += [(role, model, need.teacher_taps) for role, model in behind.items() if need.teacher and role == chosen]
        for role, module, taps in both:
            if module is not None:
                for tap in taps:
                    tap_keys(label, role, module, tap)


def _behind(task: Task, written: Mapping[str, Any], name: str, teacher: Teacher) -> nn.Module | None:
    """The model behind a teacher: that of its settings, or the student of its recipe, where that is what is deployed."""
    if isinstance(teacher.spec, ModelBuilder):
        return sketch(task, written, teacher.spec)
    if teacher.recipe is None:
        return None
    inner = teacher.recipe.settings
    hooks = [getattr(registry.get("methods", spec[USE]), "deploy", None) for spec in inner["methods"].values()]
    if any(hook is not Method.deploy for hook in hooks):
        return None
    at = f"teachers.{name}.recipe"
    return sketch(
        build("tasks", inner["task"], f"{at}.task"), inner["task"], build("models", inner[STUDENT], f"{at}.{STUDENT}")
    )


def tap_keys(label: str, role: str, model: nn.Module, spec: str) -> dict[str, str]:
    """What a method calls its features: a group's members by their own names, anything else as the method wrote it.

    Raises RecipeError for what is no tap of the model.
    """
    try:
        specs = expand(model, (spec,))
        for each in specs:
            resolve(model, each)
    except RecipeError as error:
        raise RecipeError(f"methods.{label} on {role}: {error}") from None
    return {spec: specs[0]} if len(specs) == 1 else {s: s for s in specs}


@dataclass(frozen=True)
class _Asked:
    """A model of a task, known by how both are written and by their code; a bench asks for the same few many times."""

    text: str
    code: tuple[type, Callable[..., Any]]
    task: Task = field(compare=False)
    model: ModelBuilder = field(compare=False)


def sketch(task: Task, written: Mapping[str, Any], model: ModelBuilder) -> nn.Module | None:
    """A model without its weights; None where it cannot be known before the run. Raises what its constructor does.

    Args: written: the task's settings.
    """
    if isinstance(model.factory, nn.Module):
        return model.factory
    if model.given or hasattr(model.factory, "files"):  # what Python gave, and what is read from files
        return None
    if not holds(task, "sketch", of="build"):
        return None
    asked = _Asked(f"{written} {model}", (type(task), model.factory), task, model)
    return _sketched.__wrapped__(asked) if holds_object(written) else _sketched(asked)


@functools.lru_cache(maxsize=256)
def _sketched(asked: _Asked) -> nn.Module | None:
    try:
        return _made(asked.task, asked.model, weights=False)
    except _TooLarge:
        raise
    except KdzooError:  # one that computes with its weights may be content with real ones; else it says what the run would say
        with suppress(MissingError):  # a package, which the run asks for
            return _made(asked.task, asked.model, weights=True)
    return None


def _made(task: Task, model: ModelBuilder, *, weights: bool) -> nn.Module | None:
    try:
        with traceless(model.path), nullcontext() if weights else _Unfilled(), hook_of(model.path, "build"):
            module = task.sketch(model)  # type: ignore[arg-type]
    except PluginError as error:
        if "allocate" in str(error.__cause__):
            raise _TooLarge(f"{model.path} is larger than this machine's memory; make it smaller.") from error
        raise
    size = 0 if module is None else sum(p.numel() * p.element_size() for p in module.parameters() if not is_lazy(p))
    if size > MOST_BYTES:
        raise _TooLarge(f"{model.path} would take {size / 2**30:,.0f} GiB for its parameters alone; make it smaller.")
    return module


class _TooLarge(RecipeError):
    """A model that nobody should try to build."""


class _Unfilled(TorchFunctionMode):
    """No weights are drawn: a tensor takes no memory until somebody writes to it.

    The device `meta` would be the place for it, but to compute anything there torch loads its compiler, which takes seconds.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in FILLED or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if name in MADE else func)(*args, **kwargs)


@contextmanager
def traceless(path: str) -> Iterator[None]:
    """Modules made in this block leave no trace in random generators, and endless ones are refused."""
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1
        if made > MOST_MODULES:
            raise _TooLarge(f"{path} would be made of more than {MOST_MODULES:,} modules; make it smaller.")

    handle = register_module_module_registration_hook(count)
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        handle.remove()
