"""Settings checked against the signatures of what they are for, with every default filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kdzoo import registry
from kdzoo.errors import PluginError, RecipeError, cut, did_you_mean
from kdzoo.protocol.blame import constructing
from kdzoo.recipe.find import OWN
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.paths import USE, copied, join, leaves
from kdzoo.recipe.schema import RECIPE, REQUIRED, Field, Schema, schema_for, schema_of
from kdzoo.recipe.values import holds_object, mistaken, unfit

LABELED = "methods"  # their label is their name, unless they say otherwise
EXPANDING = "teachers"  # their `expand` may turn settings into nested recipes
DOTTED = "schedules"  # their keys are paths
_LABEL = re.compile(r"[^.\[\]=]+")


@dataclass(frozen=True)
class Checker:
    """Checks one recipe.

    Attributes:
        recipe: the whole of it, references resolved, for teachers that expand; layers: where its values were written.
        nested: resolves a recipe inside the recipe, given what stands there and its path.
    """

    recipe: Mapping[str, Any]
    layers: Layers
    nested: Callable[[Any, str], Mapping[str, Any]]

    def section(self, schema: Schema, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        """All settings of a schema. Raises RecipeError for unknown, missing and unfit ones."""
        self._known(schema, given, path)
        return {name: self.field(f, given.get(name, f.default), join(path, name)) for name, f in schema.fields.items()}

    def field(self, field: Field, value: Any, path: str) -> Any:
        """One setting, converted to its type."""
        if value is REQUIRED:
            raise RecipeError(f"{path} is missing{self.layers.lacking(path)}: it must be {field.expected}.")
        if value is None and field.optional:
            return None
        if field.slot and field.fits(value):
            return field.each(value, path, lambda item, at, key: self.slot(field, item, at, key))
        if field.section and isinstance(value, dict):
            return self._ranged(field.section, self.section(schema_of(field.section, owner=path), value, path), path)
        if holds_object(value):
            return value
        try:
            found = field.parse(value)
        except ValueError:
            hint = "; on, off, yes and no are true or false: put a text into quotes" if mistaken(field.plain, value) else ""
            raise RecipeError(f"{path} must be {field.expected}, got {_shown(value)}{self.layers.where(path)}{hint}.") from None
        for leaf, number in leaves(found, path):
            expected = unfit(number)
            if expected:
                raise RecipeError(f"{leaf} must be {expected}, got {_shown(number)}{self.layers.where(leaf)}.")
        return found

    def slot(self, field: Field, value: Any, path: str, key: str | None = None) -> Any:
        """A plugin with its settings; a Python object in its place is left alone."""
        kind = field.slot or ""
        if kind == RECIPE:
            return self.nested(value, path)
        if key is not None and not (isinstance(key, str) and (kind == DOTTED or _LABEL.fullmatch(key))):
            raise RecipeError(
                f"{path}: the name {key!r} must be a text without dots, brackets and '='{self.layers.where(path)}."
            )
        value = {USE: value} if isinstance(value, str) else value
        if not isinstance(value, dict):
            if holds_object(value):
                return value
            hint = "; write {} for its defaults" if value is None and kind == LABELED else ""
            raise RecipeError(f"{path} must be {field.one}, got {_shown(value)}{self.layers.where(path)}{hint}.")
        return self._plugin(kind, {USE: key if kind == LABELED else field.usual(key), **value}, path)

    def _plugin(self, kind: str, value: dict[str, Any], path: str) -> dict[str, Any]:
        use = value.get(USE)
        if not isinstance(use, str):
            raise RecipeError(f"{path} does not say which of the {kind} it is{self.layers.where(path)}: write {path}.{USE}.")
        try:
            use = self._meant(kind, use, path)
        except PluginError as error:
            raise RecipeError(f"{path}{self.layers.where(path)}: {error}") from None
        try:
            schema = schema_for(kind, use)
        except PluginError as error:
            raise PluginError(f"{path}{self.layers.where(path)}: {error}") from error
        given = {name: item for name, item in value.items() if name != USE}
        expand = getattr(registry.get(kind, use), "expand", None) if kind == EXPANDING else None
        if expand is not None:
            replaced = self._expanded(expand, {USE: use, **self._unexpanded(schema, given, path)}, path, schema.fields)
            if replaced[USE] != use:
                return self._plugin(kind, replaced, path)
            given = {name: item for name, item in replaced.items() if name != USE}
        return {USE: use, **self.section(schema, given, path)}

    def _meant(self, kind: str, use: str, path: str) -> str:
        """The name, with its distribution where others have one of that name and the recipe's own is meant."""
        origin = self.layers.namer(path)
        return registry.spelled(kind, use, of=OWN if origin is None else origin.distribution)

    def _unexpanded(self, schema: Schema, given: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Plain settings checked and filled in, slots as they are written."""
        self._known(schema, given, path)
        written = {name: given.get(name, field.default) for name, field in schema.fields.items()}
        return {
            name: self._shaped(field, written[name], join(path, name))
            if field.slot
            else self.field(field, written[name], join(path, name))
            for name, field in schema.fields.items()
        }

    def _shaped(self, field: Field, value: Any, path: str) -> Any:
        """What stands in a slot, not looked into: it is there, and one, a list or a mapping as the slot has it."""
        if value is REQUIRED:
            raise RecipeError(f"{path} is missing{self.layers.lacking(path)}: it must be {field.expected}.")
        if (value is None and field.optional) or (field.fits(value) and holds_object(value)):
            return value
        if not field.fits(value) or (field.shape == "one" and not isinstance(value, str | dict)):
            raise RecipeError(f"{path} must be {field.expected}, got {_shown(value)}{self.layers.where(path)}.")
        return value

    def _expanded(
        self, expand: Callable[..., dict[str, Any]], settings: dict[str, Any], path: str, names: Collection[str]
    ) -> dict[str, Any]:
        origin = self.layers.origin(path)
        with constructing(path, f"{settings[USE]}.expand", names, self.layers.where):
            replaced = expand(settings, copied(self.recipe))
        if origin is not None:
            text = f"{origin.text}, expanded by {settings[USE]}"
            self.layers.note(path, replaced, Origin(text, origin.folder, origin.distribution))
        return replaced

    def _known(self, schema: Schema, given: Mapping[str, Any], path: str) -> None:
        for key in given:
            if key not in schema.fields:
                at, hint = join(path, key), did_you_mean(str(key), schema.fields)
                raise RecipeError(f"{at} is no setting of {schema.owner}{self.layers.where(at)}; {hint}")

    def _ranged(self, section: type, settings: dict[str, Any], path: str) -> dict[str, Any]:
        with constructing(path, section.__name__, settings, self.layers.where):
            section(**settings)
        return settings


def _shown(value: Any) -> str:
    """A value as it would be written."""
    try:
        return cut(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError):
        return cut(repr(value))
