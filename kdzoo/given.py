"""What is given in Python in the place of a recipe's sections: one's own modules, tensors and data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from kdzoo import registry
from kdzoo.errors import PluginError, RecipeError
from kdzoo.recipe.paths import USE

Setting = str | Mapping[str, Any]
Data = Setting | Sequence[Any]


def sections_of(*, student: Any = None, teacher: Any = None, data: Any = None, methods: Any = None) -> dict[str, Any]:
    """What the arguments of `run` and `bench` say, as sections of a recipe; those that say nothing are left out."""
    sections = {"student": student, "teacher": _teacher(teacher), "task": _task(data), "methods": methods}
    return {name: value for name, value in sections.items() if value is not None}


def _teacher(teacher: Any) -> Any:
    """A module stands in the place of whatever model, recipe and checkpoint the recipe names."""
    if not isinstance(teacher, nn.Module):
        return teacher
    return {"use": "frozen", "model": teacher, "recipe": None, "checkpoint": None}


def _task(data: Any) -> Any:
    """The settings of the task that some data make: the source's business where they are Python objects."""
    if data is None:
        return None
    if isinstance(data, str) or (isinstance(data, Mapping) and USE in data):
        return {"data": data}
    takes = {}
    for name, source in _that_take_objects().items():
        settings = source.from_python(data)
        if settings is not None:
            return settings
        first = str(source.from_python.__doc__).partition("\n")[0].rstrip(".")
        takes[name] = first[0].lower() + first[1:]
    if isinstance(data, Mapping):
        return {"data": data}
    known = "; ".join(f"{name} takes {what}" for name, what in sorted(takes.items()))
    raise RecipeError(f"data must be a name, a mapping, or objects that a source takes, got {type(data).__name__}: {known}.")


def _that_take_objects() -> dict[str, Any]:
    found = {}
    for name in registry.discover("data"):
        try:
            source = registry.get("data", name)
        except PluginError:  # `kdzoo list` says what is wrong with it
            continue
        if hasattr(source, "from_python"):
            found[name] = source
    return found
