"""Which analyses a command wants, and with which settings: checked as a recipe is, against the constructors' signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdzoo.errors import PluginError, RecipeError, did_you_mean
from kdzoo.protocol.analysis import Analysis, Wants
from kdzoo.protocol.blame import hook_of, returned
from kdzoo.recipe.build import build
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.overrides import apply
from kdzoo.recipe.paths import USE
from kdzoo.recipe.schema import Field
from kdzoo.recipe.validate import Checker

KIND = "analyses"
_SLOT = Field(KIND, Analysis, slot=KIND)


def chosen(names: Mapping[str, Mapping[str, Any]], overrides: Sequence[str] = ()) -> dict[str, Analysis]:
    """The analyses by name.

    Args:
        names: name -> settings. overrides: `name.setting=value`, or `setting=value` where there is one analysis.

    Raises:
        RecipeError: an unknown analysis or setting, or a value out of range. PluginError: an analysis is broken.
    """
    layers = Layers()
    layers.merge({KIND: {name: {USE: name, **settings} for name, settings in names.items()}}, Origin("the command", Path.cwd()))
    apply(layers, [_placed(text, list(names)) for text in overrides])
    checker = Checker({}, layers, _no_recipe)
    made = {}
    for name, settings in layers.tree[KIND].items():
        path = f"{KIND}.{name}"
        checked = checker.slot(_SLOT, settings, path)
        made[name] = build(KIND, checked, path)
        if not isinstance(made[name], Analysis):
            raise PluginError(f"{path}: {name!r} is a {type(made[name]).__name__}, not a kdzoo.Analysis.")
    return made


def wants_of(name: str, analysis: Analysis) -> Wants:
    """What an analysis wants."""
    with hook_of(f"{KIND}.{name}", "wants"):
        return returned(analysis.wants(), Wants, f"{KIND}.{name}", "wants")


def _placed(text: str, names: Sequence[str]) -> str:
    """An override with the path of its analysis before it."""
    path, _, value = text.partition("=")
    first = path.partition(".")[0]
    if first in names and "." in path:
        return f"{KIND}.{text}"
    if len(names) > 1:
        raise RecipeError(
            f"The override '{text}' does not say which analysis it is for: write {names[0]}.{path}={value}; "
            f"{did_you_mean(first, names)}"
        )
    return f"{KIND}.{names[0]}.{text}"


def _no_recipe(value: Any, path: str) -> Mapping[str, Any]:
    raise RecipeError(f"{path}: an analysis has no recipe inside it, got {value!r}.")
