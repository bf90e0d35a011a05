"""Which plugins a recipe uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdzoo import registry
from kdzoo.recipe.schema import RECIPE, USE, Schema, schema_for, schema_of
from kdzoo.recipe.sections import Layout
from kdzoo.registry import Entry


def plugins_of(settings: Mapping[str, Any]) -> frozenset[Entry]:
    """The plugins that resolved settings name, wherever they stand: in slots of other plugins and in nested recipes, too."""
    return frozenset(_in_section(schema_of(Layout), settings))


def _in_section(schema: Schema, settings: Mapping[str, Any]) -> Iterator[Entry]:
    for name, field in schema.fields.items():
        value = settings.get(name)
        if field.slot and value is not None and field.fits(value):
            specs: list[Any] = []
            field.each(value, name, lambda spec, *_: specs.append(spec))
            for spec in specs:
                yield from _in_slot(field.slot, spec)
        elif field.section and isinstance(value, Mapping):
            yield from _in_section(schema_of(field.section), value)


def _in_slot(kind: str, spec: Any) -> Iterator[Entry]:
    if not isinstance(spec, Mapping):  # an object that was given in Python
        return
    if kind == RECIPE:
        yield from _in_section(schema_of(Layout), spec)
    else:
        yield registry.entry(kind, spec[USE])
        yield from _in_section(schema_for(kind, spec[USE]), spec)
