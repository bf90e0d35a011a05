"""Paths into a recipe, such as `methods.kd.logits[0].scale`."""

from __future__ import annotations

import re
from typing import Any

from kdzoo.errors import RecipeError

Key = str | int
WHOLE = "schedules"  # its keys are paths themselves
USE = "use"
"""The key that names a plugin; the others beside it are its settings."""


def keys(tree: Any, path: str) -> list[Key]:
    """The keys that a path stands for.

    Keys of the tree that contain dots are taken whole, and so is a new key of `schedules`. Raises RecipeError for what is no
    path.
    """
    found: list[Key] = []
    node, rest = tree, path
    while rest or not path:
        index = re.match(r"\[(\d+)\](\.|(?=\[)|$)", rest)
        if index:
            found.append(int(index[1]))
            rest = rest[index.end() :]
        else:
            found.append(_name(node, rest, whole=found[-1:] == [WHOLE]))
            rest = rest[len(str(found[-1])) :].removeprefix(".")
        if found[-1] == "":
            raise RecipeError(f"'{path}' is no path: write the like of train.epochs or methods.kd.logits[0].scale.")
        node = child(node, found[-1])
    return found


def child(node: Any, key: Key) -> Any:
    """What is at `key` in a mapping or list; None if nothing is."""
    if isinstance(node, list):
        return node[key] if isinstance(key, int) and key < len(node) else None
    return node.get(key) if isinstance(node, dict) else None


def join(path: str, key: Key) -> str:
    """The path of an item inside `path`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def parent(path: str) -> str:
    """The path without its last key; '' at the top."""
    return re.sub(r"(^|\.)[^.\[]*$|\[\d+\]$", "", path)


def within(path: str, ancestor: str) -> bool:
    """Whether `path` is `ancestor` or inside it."""
    return path == ancestor or path.startswith((f"{ancestor}.", f"{ancestor}["))


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Path and value of each leaf; an empty mapping or list is a leaf."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, item in items for leaf in leaves(item, join(path, key))]
    return [(path, value)]


def mappings(value: Any, path: str = "") -> list[str]:
    """The paths of all mappings in a value, itself among them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    own = [path] if isinstance(value, dict) else []
    return own + [found for key, item in items for found in mappings(item, join(path, key))]


def copied(tree: Any) -> Any:
    """A copy of a tree that shares the Python objects in it."""
    if isinstance(tree, dict):
        return {key: copied(item) for key, item in tree.items()}
    return [copied(item) for item in tree] if isinstance(tree, list) else tree


def _name(node: Any, rest: str, *, whole: bool) -> str:
    known = [key for key in node if isinstance(key, str) and within(rest, key)] if isinstance(node, dict) else []
    if known:
        return max(known, key=len)
    return rest if whole else re.split(r"[.\[]", rest)[0]
