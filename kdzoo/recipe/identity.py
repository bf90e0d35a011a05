"""Which runs are the same run: everything that may change a result, hashed."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdzoo import digests, registry
from kdzoo.errors import RecipeError
from kdzoo.recipe.hashing import content, unknown_in
from kdzoo.recipe.paths import USE, child, copied, keys
from kdzoo.recipe.schema import RECIPE, Schema, schema_for, schema_of
from kdzoo.recipe.sections import Layout
from kdzoo.recipe.whose import installed

IRRELEVANT = frozenset({"runtime", "paths", "name", "description", "reference", "bench"})
ORDERED = ("methods", "learners")  # they act in the order in which the recipe names them


def identity(settings: Mapping[str, Any], *, files: Mapping[str, Path]) -> str:
    """16 hexadecimal digits that runs share if what determines their results is the same.

    That is the relevant settings, the content of Python objects among them, distribution, version and source of every plugin
    named (nested recipes included), the modules of its family that it imports among it, the plugin protocol, and the content of
    files. A plugin of this process, and a Python object, counts by all that it is made of (`kdzoo.recipe.hashing`).

    Args:
        settings: of a loaded recipe.
        files: path of a setting that names a file -> that file. Its content counts, its name does not.

    Raises:
        RecipeError: a Python object among the settings that cannot be hashed.
    """
    tree = copied(_recipe(settings))  # files are replaced in it, the caller's lists must stay
    others = {path: _digest(file) for path, file in files.items() if not _replaced(tree, path.lstrip("."), file)}
    whole = {"protocol": registry.PROTOCOL, "recipe": tree, "files": others}
    return digests.of_text(_text(whole))[: digests.SHORT]


def unrepeatable(settings: Mapping[str, Any]) -> list[str]:
    """Why no other process will ever find the result of these settings: what of their Python objects and plugins is unknown."""
    return unknown_in(_text(_recipe(settings)))


def relevant(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that may change a result: neither the machine's, nor names and texts."""
    return {name: value for name, value in settings.items() if name not in IRRELEVANT}


def _text(tree: Any) -> str:
    try:
        return json.dumps(tree, sort_keys=True, separators=(",", ":"), default=content)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"The run has no identity, for a Python object in its recipe cannot be hashed ({error}): "
            "register it as a plugin and name it instead."
        ) from error


def _recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    order = {name: list(settings.get(name, ())) for name in ORDERED}
    return {**_section(schema_of(Layout), relevant(settings)), "order": order}


def _section(schema: Schema, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with a note on the code of each plugin in them."""
    noted = dict(settings)
    for name, field in schema.fields.items():
        value = noted.get(name)
        if field.slot and value is not None and field.fits(value):
            noted[name] = field.each(value, name, functools.partial(_plugin, field.slot))
        elif field.section and isinstance(value, Mapping):
            noted[name] = _section(schema_of(field.section), value)
    return noted


def _plugin(kind: str, spec: Any, *_place: object) -> Any:
    if not isinstance(spec, Mapping):
        return spec
    if kind == RECIPE:
        return _recipe(spec)
    entry = registry.entry(kind, spec[USE])
    code: Any = None if registry.is_local(entry) else installed(entry.target.partition(":")[0])
    code = code or content(registry.get(kind, spec[USE]))
    settings = {name: value for name, value in spec.items() if name != USE}
    return {**_section(schema_for(kind, spec[USE]), settings), USE: [entry.name, entry.distribution, entry.version, code]}


def _replaced(tree: Any, path: str, file: Path) -> bool:
    """Put the content's hash in place of the file's name; False if there is no such setting."""
    *parents, last = keys(tree, path)
    for key in parents:
        tree = child(tree, key)
    if child(tree, last) is None:
        return False
    tree[last] = _digest(file)
    return True


def _digest(path: Path) -> str:
    return digests.of_folder(path) if path.is_dir() else digests.of_file(path)
