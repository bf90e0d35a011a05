"""A recipe as it is written: files and overrides merged into one tree, with the origin of every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.recipe.paths import USE, Key, child, copied, join, keys, leaves, mappings, parent, within


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file or an override. Names of files in it are relative to `folder`.

    `distribution` is the one that ships the file, '' for a user's; names of plugins in it are its own first.
    """

    text: str
    folder: Path
    distribution: str = ""


@dataclass
class Layers:
    """The merged tree, the origin of each leaf by path, and who first wrote each mapping (later layers may fill it).

    `file` is the recipe's own, where it is in one.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    openers: dict[str, Origin] = field(default_factory=dict)
    file: Origin | None = None

    def copy(self) -> Layers:
        """The same layers, to change them elsewhere."""
        return Layers(copied(self.tree), dict(self.origins), dict(self.openers), self.file)

    def merge(self, layer: Mapping[str, Any], origin: Origin) -> None:
        """Lay a mapping over the tree. A null removes what is there; another `use` replaces a plugin with its settings."""
        self._merge(self.tree, layer, "", origin)

    def put(self, path: str, value: Any, origin: Origin) -> None:
        """Set one value, or merge one mapping; mappings on the way are made. Raises RecipeError where there is no way."""
        *parents, last = keys(self.tree, path)
        node: Any = self.tree
        at = ""
        for key in parents:
            _passable(node, key, at, path)
            at = join(at, key)
            if child(node, key) is None:
                node[key] = {}
            node = self._opened(node, key, at)
        _passable(node, last, at, path)
        self._set(node, last, value, path, origin)

    def adopt(self, key: str, other: Layers) -> None:
        """Put what another tree has at a top-level key in the place of what is here, with its origins."""
        self._forget(key)
        self.tree.pop(key, None)
        if key in other.tree:
            self.tree[key] = copied(other.tree[key])
            self.origins |= {path: origin for path, origin in other.origins.items() if within(path, key)}
            self.openers |= {path: origin for path, origin in other.openers.items() if within(path, key)}

    def remove(self, path: str) -> None:
        """Remove what is at `path`. Raises RecipeError if nothing is."""
        *parents, last = keys(self.tree, path)
        node: Any = self.tree
        for key in parents:
            node = child(node, key)
        if last not in (range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ()):
            hint = did_you_mean(str(last), node) if isinstance(node, dict) else "look at the recipe by `kdzoo show`."
            raise RecipeError(f"~{path} removes nothing, for the recipe does not set it; {hint}")
        del node[last]
        origin = self.origin(parent(path))
        self._forget(path)
        if isinstance(node, list) and origin:  # the items behind it have moved up
            self.note(parent(path), node, origin)

    def note(self, path: str, value: Any, origin: Origin) -> None:
        """Record where `value` was written."""
        self._forget(path)
        self.origins |= {leaf: origin for leaf, _ in leaves(value, path)}
        self.openers |= dict.fromkeys(mappings(value, path), origin)

    def namer(self, path: str) -> Origin | None:
        """Who named the plugin at `path`, whose settings others may have changed; None if nobody wrote it."""
        return self.origins.get(join(path, USE)) or self.openers.get(path) or self.origin(path)

    def origin(self, path: str) -> Origin | None:
        """Where the value at `path`, or else what is around it, was written."""
        while path:
            for known, origin in self.origins.items():
                if within(known, path):
                    return origin
            path = parent(path)
        return None

    def where(self, path: str) -> str:
        """The same as a half-sentence, '' if nobody wrote it."""
        origin = self.origin(path)
        return f" (from {origin.text})" if origin else ""

    def lacking(self, path: str) -> str:
        """A half-sentence on where something that nobody wrote should stand."""
        return self.where(path) or (f" (from {self.file.text})" if self.file else "")

    def _merge(self, node: dict[str, Any], layer: Mapping[str, Any], at: str, origin: Origin) -> None:
        for key, value in layer.items():
            path = join(at, key)
            if value is None and key in node:
                del node[key]
                self._forget(path)
            else:
                self._set(node, key, value, path, origin)

    def _set(self, node: Any, key: Key, value: Any, path: str, origin: Origin) -> None:
        if isinstance(value, dict):
            old = child(node, key) if USE in value else self._opened(node, key, path)
            if isinstance(old, dict) and value.get(USE, old.get(USE, key)) == old.get(USE, key):
                return self._merge(old, value, path, origin)
        node[key] = copied(value)
        return self.note(path, value, origin)

    def _opened(self, node: Any, key: Key, path: str) -> Any:
        """What is at `key`; a plugin written as a mere name becomes a mapping, so that it can take settings."""
        found = child(node, key)
        if isinstance(found, str):
            found = node[key] = {USE: found}
            if path in self.origins:
                self.origins[join(path, USE)] = self.origins.pop(path)
        return found

    def _forget(self, path: str) -> None:
        self.origins = {known: origin for known, origin in self.origins.items() if not within(known, path)}
        self.openers = {known: origin for known, origin in self.openers.items() if not within(known, path)}


def _passable(node: Any, key: Key, at: str, path: str) -> None:
    if not isinstance(node, dict | list):
        raise RecipeError(f"{path} leads through {at}, which is {node!r} and holds no settings.")
    if isinstance(node, list) and not isinstance(key, int):
        raise RecipeError(f"{path} leads through {at}, which is a list: say which item, as in {at}[0].")
    if isinstance(node, dict) and isinstance(key, int):
        raise RecipeError(f"{path} asks for item {key} of {at}, which is no list.")
    if isinstance(key, int) and key >= len(node):
        raise RecipeError(f"{join(at, key)} does not exist: {at} has {len(node)} items, counted from 0.")
