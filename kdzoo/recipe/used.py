"""Which plugins a recipe uses, and which files it names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kdzoo import registry
from kdzoo.errors import MissingError, cut, looked
from kdzoo.recipe.load import DEFAULT
from kdzoo.recipe.paths import USE, join, leaves
from kdzoo.recipe.schema import RECIPE, Schema, schema_for, schema_of
from kdzoo.recipe.sections import Layout
from kdzoo.registry import Entry


def plugins_of(settings: Mapping[str, Any]) -> set[Entry]:
    """The plugins that resolved settings name, wherever they stand: in slots of other plugins and in nested recipes, too."""
    found: set[Entry] = set()
    _add_section(found, schema_of(Layout), settings)
    return found


def check_files(settings: Mapping[str, Any], provenance: Mapping[str, str]) -> None:
    """Refuse, with a MissingError, a file or folder that is named and not there; recipes inside the recipe are left out."""
    for path, place in _existing(schema_of(Layout), settings, ""):
        if not os.path.exists(os.path.expanduser(place)):
            kind = "file" if Path(place).suffix else "folder"
            text = provenance.get(path, DEFAULT)
            where = "" if text == DEFAULT else f" (from {text})"
            raise MissingError(
                f"{path}{where}: there is no {kind} {cut(place)} ({cut(looked(place), 400)}); correct the path, or make what "
                "is meant there first."
            )


def _existing(schema: Schema, settings: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Path -> what is written there, of all settings that name files or folders."""
    inner: list[tuple[str, str, Any]] = []

    def keep(kind: str, item: Any, place: str, *_: object) -> None:
        inner.append((place, kind, item))

    for name, field in schema.fields.items():
        value, at = settings.get(name), join(path, name)
        if field.existing and value is not None:
            yield from leaves(value, at)
        elif field.slot and field.slot != RECIPE and value is not None and field.fits(value):
            field.each(value, at, partial(keep, field.slot))
        elif field.section and isinstance(value, Mapping):
            yield from _existing(schema_of(field.section), value, at)
    for place, kind, item in inner:
        if isinstance(item, Mapping):
            yield from _existing(schema_for(kind, item[USE]), item, place)


def _add_section(found: set[Entry], schema: Schema, settings: Mapping[str, Any]) -> None:
    for name, field in schema.fields.items():
        value = settings.get(name)
        if field.slot and value is not None and field.fits(value):
            field.each(value, name, partial(_add, found, field.slot))
        elif field.section and isinstance(value, Mapping):
            _add_section(found, schema_of(field.section), value)


def _add(found: set[Entry], kind: str, spec: Any, *_place: object) -> None:
    if not isinstance(spec, Mapping):  # an object that was given in Python
        return
    if kind == RECIPE:
        _add_section(found, schema_of(Layout), spec)
    else:
        found.add(registry.entry(kind, spec[USE]))
        _add_section(found, schema_for(kind, spec[USE]), spec)
