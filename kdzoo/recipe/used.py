"""Which plugins a recipe uses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from kdzoo import registry
from kdzoo.recipe.schema import RECIPE, USE, Schema, schema_for, schema_of
from kdzoo.recipe.sections import Layout
from kdzoo.registry import Entry


def plugins_of(settings: Mapping[str, Any]) -> set[Entry]:
    """The plugins that resolved settings name, wherever they stand: in slots of other plugins and in nested recipes, too."""
    found: set[Entry] = set()
    _add_section(found, schema_of(Layout), settings)
    return found


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
