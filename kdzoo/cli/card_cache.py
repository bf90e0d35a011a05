"""Cards of plugins, kept in the user's cache: `kdzoo show` need not import torch to say again what a plugin's settings are.

There is a file for each installed distribution, to which a card is added once its plugin was shown. A card counts only while
the source files that it was made from, and all recipes, are byte for byte what they were.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from pathlib import Path
from typing import Any

from kdzoo import digests, registry
from kdzoo.cache_folder import CACHE
from kdzoo.recipe.family import family_files
from kdzoo.recipe.find import available, builtin_folder
from kdzoo.registry import Entry
from kdzoo.registry.source import locate

FOLDER = CACHE / "cards"
MAKERS = ("kdzoo.cli.card", "kdzoo.recipe.schema")
"""Modules that decide what stands in every card."""

Card = dict[str, Any]


def kept(kind: str, name: str) -> Card | None:
    """A plugin's card (see `kdzoo.cli.card`), if it is in the cache and up to date. Nothing is imported."""
    entry = registry.entry(kind, name)
    if registry.is_local(entry):
        return None
    try:
        cache = _read(_file(entry.distribution))
        found, sources = cache["cards"][kind][entry.name], cache["sources"][kind][entry.name]
        current = bool(sources) and all(_digest(module) == digest for module, digest in sources.items())
    except (RuntimeError, LookupError, TypeError, AttributeError):  # no home, no card, or not one
        return None
    return {**found, "name": name} if current and isinstance(found, dict) else None


def keep(kind: str, name: str, card: Card) -> None:
    """Add a plugin's card; where the cache cannot be written to, nothing is kept."""
    from kdzoo.engine.files import replace_file

    entry = registry.entry(kind, name)
    if registry.is_local(entry):
        return
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        file = _file(entry.distribution)
        cache = _read(file)
        cache["cards"].setdefault(kind, {})[entry.name] = card
        cache["sources"].setdefault(kind, {})[entry.name] = _sources(entry)
        text = json.dumps(cache, default=str)
        replace_file(file, lambda path: path.write_text(text, "utf-8"))


def _read(file: Path) -> Card:
    """What a file holds, or an empty cache: also where the recipes have changed, or something is wrong with the file."""
    empty: Card = {"recipes": _recipes(), "cards": {}, "sources": {}}
    try:
        found = json.loads(file.read_text("utf-8"))
        fits = found.keys() == empty.keys() and found["recipes"] == empty["recipes"]
        maps = [found["cards"], found["sources"], *found["cards"].values(), *found["sources"].values()] if fits else [None]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return empty
    return found if all(isinstance(each, dict) for each in maps) else empty


def _file(distribution: str) -> Path:
    """Where a distribution's cards are; those of each environment by themselves."""
    return FOLDER.expanduser() / f"{distribution}-{digests.of_text(sys.prefix)[: digests.SHORT]}.json"


def _sources(entry: Entry) -> dict[str, str]:
    """Digest of each module that a card is made from: the plugin's with those of its family, its bases', and the makers'."""
    own = entry.target.partition(":")[0]
    bases = [base.__module__ for base in getattr(registry.get(entry.kind, entry.qualified), "__mro__", ())]
    modules = {own, *MAKERS, *bases}
    for module in (own, *MAKERS):
        modules.update(family_files(module))
    return {module: digest for module in sorted(modules) if (digest := _digest(module))}


@functools.cache
def _digest(module: str) -> str:
    file = locate(module)
    return digests.of_file(file)[: digests.SHORT] if file is not None and file.is_file() else ""


@functools.cache
def _recipes() -> str:
    """Digest of all recipes that can be named, by name and content."""
    top = builtin_folder()
    named = (f"{name} {path.is_relative_to(top)} {digests.of_file(path)}" for name, path in available().items())
    return digests.of_text("\n".join(named))[: digests.SHORT]
