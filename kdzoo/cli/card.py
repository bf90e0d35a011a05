"""What there is to say about one plugin: its documentation, settings, terms, needs, and the recipes that use it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from kdzoo import registry
from kdzoo.errors import KdzooError
from kdzoo.protocol.analysis import Analysis, Wants
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.recipe.find import available, hidden
from kdzoo.recipe.read import read
from kdzoo.recipe.schema import REQUIRED, schema_for, schema_of
from kdzoo.recipe.sections import Reserved

Card = dict[str, Any]


def card(kind: str, name: str) -> Card:
    """A plugin's card, as plain data. Imports it; raises PluginError if it is unknown or broken."""
    entry = registry.entry(kind, name)
    plugin: Any = registry.get(kind, name)
    module = sys.modules.get(getattr(plugin, "__module__", ""))
    about: Card = {
        "kind": kind,
        "name": name,
        "distribution": f"{entry.distribution} {entry.version}".strip(),
        "about": _cleaned(module),
        "class": _cleaned(plugin).removeprefix(_cleaned(module)).strip(),
        "settings": settings(kind, name),
    }
    if isinstance(plugin, type) and issubclass(plugin, Method):
        about["terms"] = {term.name: term.weight for term in plugin.kdzoo_terms.values()}
        about["needs"] = needs(plugin)
    if isinstance(plugin, type) and issubclass(plugin, Analysis):
        about["wants"] = wants(plugin)
    return about | {"recipes": list(users(kind, name))}


def settings(kind: str, name: str) -> list[dict[str, Any]]:
    """Name, type in words and default of each setting, without those that all methods have."""
    shared = schema_of(Reserved).fields if kind == "methods" else {}
    return [
        {"name": f.name, "type": f.expected, "default": "required" if f.default is REQUIRED else f.default}
        for f in schema_for(kind, name).fields.values()
        if f.name not in shared
    ]


def needs(method: type[Method]) -> dict[str, Any] | None:
    """What the method needs at its default settings, where that differs from nothing; None if it has no defaults."""
    try:
        declared = method().needs()
    except (TypeError, ValueError, KdzooError):
        return None
    nothing = Needs()
    wanted = {f.name: getattr(declared, f.name) for f in fields(Needs)}
    return {name: _plain(value) for name, value in wanted.items() if value != getattr(nothing, name)}


def wants(analysis: type[Analysis]) -> dict[str, Any] | None:
    """What the analysis wants to see of a run at its default settings; None if it has no defaults."""
    try:
        declared = analysis().wants()
    except (TypeError, ValueError, KdzooError):
        return None
    nothing = Wants(splits=())
    wanted = {f.name: getattr(declared, f.name) for f in fields(Wants)}
    return {name: _plain(value) for name, value in wanted.items() if value != getattr(nothing, name)}


def users(kind: str, name: str) -> Iterator[str]:
    """The recipes that name the plugin, by name."""
    for recipe, path in available().items():
        if hidden(recipe):
            continue
        try:
            tree = _tree(path, path.stat().st_mtime_ns)
        except (KdzooError, OSError):  # a broken recipe is the business of `kdzoo check`
            continue
        if name in (set(_methods(tree)) if kind == "methods" else set(_texts(tree))):
            yield recipe


@functools.cache
def _tree(path: Path, changed: int) -> Mapping[str, Any]:
    """A recipe with all that it extends, read once for many cards; `changed` is when its file was."""
    return read(path, folder=Path.cwd()).tree


def _methods(tree: Any) -> Iterator[str]:
    """The methods that a recipe names, those of the rows of a bench and of recipes inside it included."""
    if isinstance(tree, list):
        for item in tree:
            yield from _methods(item)
    for key, value in tree.items() if isinstance(tree, Mapping) else ():
        if key == "bench" and isinstance(value, Mapping):
            yield from _methods(list((value.get("methods") or {}).values()))
        elif key == "methods" and isinstance(value, Mapping):
            yield from (spec.get("use", label) if isinstance(spec, Mapping) else spec or label for label, spec in value.items())
        else:
            yield from _methods(value)


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from () if key in ("name", "description") else _texts(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _texts(item)
    elif isinstance(tree, str):
        yield tree


def _cleaned(obj: Any) -> str:
    own = obj.__doc__ if obj is not None else None
    return inspect.cleandoc(own) if own else ""


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple | list) else value
