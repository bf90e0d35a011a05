"""From checked settings to objects: every slot is filled from the inside out."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from kdzoo import ranges, registry
from kdzoo.errors import CapabilityError, RecipeError, did_you_mean
from kdzoo.protocol.blame import constructing, returned
from kdzoo.recipe.load import DEFAULT, Recipe
from kdzoo.recipe.paths import USE, copied, join, within
from kdzoo.recipe.schema import RECIPE, Field, schema_for, schema_of, told_by_tasks
from kdzoo.recipe.sections import Reserved

Provenance = Mapping[str, str]


@dataclass(frozen=True)
class ModelBuilder:
    """A model that is not built yet: the task supplies what depends on the data.

    Attributes:
        name: the plugin's name, or the class of the user's own model; settings: what the recipe says.
        factory: makes it, or is the user's own module, of which every call gives a copy.
        path: where it stands in the recipe. given: whether Python gave the factory.
    """

    name: str
    settings: Mapping[str, Any]
    factory: Callable[..., Any]
    path: str
    provenance: Provenance = field(default_factory=dict, repr=False)
    given: bool = False

    def __call__(self, **context: int) -> nn.Module:
        """A new module; the factory gets only those of the task's numbers that its signature names.

        Raises CapabilityError: it needs a number that the task does not give.
        """
        if isinstance(self.factory, nn.Module):
            return copy.deepcopy(self.factory)
        names = inspect.signature(self.factory).parameters
        told = told_by_tasks()
        lacking = [n for n in names if n in told and n not in context and names[n].default is inspect.Parameter.empty]
        if lacking:
            raise CapabilityError(
                f"{self.path}: model {self.name!r} needs {', '.join(lacking)}, but this task tells models only "
                f"{', '.join(context)}; use a model made for this task."
            )
        given = {name: value for name, value in context.items() if name in names}
        module = _called(self.factory, {**self.settings, **given}, self.path, self.provenance)
        return returned(module, nn.Module, self.path, f"model {self.name!r}")


def build(kind: str, spec: Any, path: str, *, provenance: Provenance | None = None) -> Any:
    """The object that checked settings describe; what is an object already is returned as it is.

    A model comes as a ModelBuilder, a nested recipe as a Recipe.

    Args:
        path: where the settings stand in the recipe, for messages; provenance: that of the recipe, to say who wrote them.

    Raises:
        RecipeError: a value that the plugin's constructor refuses, in recipe words, or an unknown setting.
        PluginError: the plugin is broken.
    """
    provenance = provenance or {}
    if not isinstance(spec, Mapping):
        return ModelBuilder(_class_name(spec), {}, spec, path, given=True) if kind == "models" else spec
    if kind == RECIPE:
        return Recipe(dict(spec), path)
    use: str = spec[USE]
    fields = schema_for(kind, use).fields
    for name in spec.keys() - fields.keys() - {USE}:
        raise RecipeError(f"{join(path, name)} is no setting of {use}; {did_you_mean(name, fields)}")
    arguments = {
        name: _argument(fields[name], value, join(path, name), provenance) for name, value in spec.items() if name != USE
    }
    constructor: Any = registry.get(kind, use)
    if kind == "models":
        return ModelBuilder(use, arguments, constructor, path, provenance)
    return _called(constructor, arguments, path, provenance)


def inside(kind: str, spec: Mapping[str, Any], path: str, slot: str) -> dict[str, Any]:
    """Path -> what stands there, of all plugins of the kind `slot` in the settings of one plugin, not of those inside these."""
    found: dict[str, Any] = {}
    for name, each in schema_for(kind, spec[USE]).fields.items():
        if each.slot == slot and spec.get(name) is not None:
            each.each(spec[name], join(path, name), lambda item, at, _: found.update({at: item}))
    return found


def split_reserved(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A method's settings in two: its own, with `use`, for `build`; and those that every method has, all of them."""
    reserved = {name: copied(f.default) for name, f in schema_of(Reserved).fields.items()}
    own = {name: value for name, value in settings.items() if name not in reserved}
    return own, reserved | {name: value for name, value in settings.items() if name in reserved}


def _argument(field: Field, value: Any, path: str, provenance: Provenance) -> Any:
    if value is None:
        return None
    if field.slot and field.fits(value):
        return field.each(value, path, lambda item, at, _: build(field.slot or "", item, at, provenance=provenance))
    if field.section and isinstance(value, Mapping):
        fields = schema_of(field.section).fields
        parts = {name: _argument(fields[name], item, join(path, name), provenance) for name, item in value.items()}
        return _called(field.section, parts, path, provenance)
    return field.argument(value)


def _called(constructor: Callable[..., Any], arguments: Mapping[str, Any], path: str, provenance: Provenance) -> Any:
    with constructing(path, getattr(constructor, "__name__", "its constructor"), arguments, partial(_where, provenance)):
        return ranges.constructed(lambda: constructor(**arguments))


def _where(provenance: Provenance, path: str) -> str:
    """A half-sentence on who wrote the setting at `path`, or the first one in it that is no default."""
    said = (text for known, text in provenance.items() if text != DEFAULT and within(known, path))
    text = next(said, None)
    return f" (from {text})" if text else ""


def _class_name(spec: Any) -> str:
    return spec.__name__ if isinstance(spec, type) else type(spec).__name__
