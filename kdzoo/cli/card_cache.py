"""Cards of plugins, kept in the user's cache: `kdzoo show` need not import torch to say again what a plugin's settings are.

There is a file for each installed distribution. Where a card is not in it, or out of date, those of all the distribution's
plugins are made anew, for that takes little longer than one: most of the time goes into torch and the recipes. A card counts
only while the source files that it was made from, and all recipes, are byte for byte what they were.
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
from kdzoo.errors import PluginError
from kdzoo.recipe.family import family_files
from kdzoo.recipe.find import available, builtin_folder
from kdzoo.registry import Entry
from kdzoo.registry.source import locate

FOLDER = CACHE / "cards"
MAKERS = ("kdzoo.cli.card", "kdzoo.recipe.schema")
"""Modules that decide what stands in every card."""
NO_CARDS = ("recipes", "commands")

Card = dict[str, Any]


def kept(kind: str, name: str) -> Card | None:
    """A plugin's card (see `kdzoo.cli.card`), if it is in the cache and up to date. Nothing is imported."""
    entry = registry.entry(kind, name)
    if registry.is_local(entry):
        return None
    try:
        cache = json.loads(_file(entry.distribution).read_text("utf-8"))
        found, sources = cache["cards"][kind][entry.name], cache["sources"][kind][entry.name]
        current = cache["recipes"] == _recipes() and bool(sources) and all(_digest(m) == d for m, d in sources.items())
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError):  # whatever is wrong with the file
        return None
    return {**found, "name": name} if current and isinstance(found, dict) else None


def keep(kind: str, name: str) -> None:
    """Write the cards of all plugins of this one's distribution; where that cannot be written to, nothing is kept."""
    from kdzoo.cli.card import card
    from kdzoo.engine.files import replace_file

    distribution = registry.entry(kind, name).distribution
    if registry.is_local(registry.entry(kind, name)):
        return
    cards: Card = {}
    sources: Card = {}
    for kind in (kind for kind in registry.KINDS if kind not in NO_CARDS):
        for name, entry in registry.discover(kind).items():
            if entry.distribution == distribution:
                with contextlib.suppress(PluginError):  # a broken plugin has no card
                    cards.setdefault(kind, {})[entry.name] = card(kind, name)
                    sources.setdefault(kind, {})[entry.name] = _sources(entry)
    text = json.dumps({"recipes": _recipes(), "cards": cards, "sources": sources}, default=str)
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        replace_file(_file(distribution), lambda path: path.write_text(text, "utf-8"))


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
