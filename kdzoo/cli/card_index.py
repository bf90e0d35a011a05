"""Cards of kdzoo's own methods, made beforehand: `kdzoo show` need not import torch to say what a method's settings are.

`docs/generate.py` writes the index. A card in it counts only while the source files that it was made from, and the recipes, are
byte for byte those that are here; else the method is imported and asked.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

from kdzoo import digests, registry
from kdzoo.recipe.find import OWN, available, builtin_folder
from kdzoo.registry.source import docstring, locate

INDEX = Path(__file__).with_name("card_index.json")
KINDS = ("methods", "transforms")
FIELDS = ("settings", "terms", "needs", "recipes")

Card = dict[str, Any]


def found(kind: str, name: str) -> Card | None:
    """The card that `kdzoo.cli.card.card` would make, if the index has it and it is not out of date. Nothing is imported."""
    entry = registry.entry(kind, name)
    index = _index()
    known = index.get(kind, {}).get(entry.name) if entry.distribution == OWN and not entry.problem else None
    if known is None or index["recipes"] != _recipes() or any(_digest(m) != digest for m, digest in known["sources"].items()):
        return None
    module, _, attribute = entry.target.partition(":")
    return {
        "kind": kind,
        "name": name,
        "distribution": f"{entry.distribution} {entry.version}".strip(),
        "about": docstring(module),
        "class": docstring(module, attribute),
        **{field: known[field] for field in FIELDS if field in known},
    }


def text() -> str:
    """The index as it should be. Imports every method."""
    from kdzoo.cli.card import card

    index: Card = {"recipes": _recipes()}
    for kind in KINDS:
        index[kind] = {}
        for name, entry in registry.discover(kind).items():
            if entry.distribution == OWN:
                made = card(kind, name)
                own = {field: made[field] for field in FIELDS if field in made}
                index[kind][name] = {"sources": _sources(registry.get(kind, name)), **own}
    return json.dumps(index, indent=0, sort_keys=True) + "\n"


def _sources(plugin: Any) -> dict[str, str]:
    """Digest of each module that a class and its bases are written in, as far as they are kdzoo's."""
    modules = {base.__module__ for base in plugin.__mro__}
    return {module: _digest(module) for module in sorted(modules) if _is_own(module)}


def _is_own(module: str) -> bool:
    return module.partition(".")[0].startswith("kdzoo") and module in sys.modules


def _digest(module: str) -> str:
    file = locate(module)
    return digests.of_file(file)[: digests.SHORT] if file is not None and file.is_file() else ""


@functools.cache
def _recipes() -> str:
    """Digest of all recipes that can be named, by name and content."""
    top = builtin_folder()
    named = (f"{name} {path.is_relative_to(top)} {digests.of_file(path)}" for name, path in available().items())
    return digests.of_text("\n".join(named))[: digests.SHORT]


@functools.cache
def _index() -> Card:
    try:
        index = json.loads(INDEX.read_text("utf-8"))
    except (OSError, ValueError):  # an index is only a short cut
        return {}
    return index if isinstance(index, dict) else {}
