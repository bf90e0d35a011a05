"""The identity of a run: its settings, the content of its weights files and data, the code of its plugins, its seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from kdzoo import digests
from kdzoo.recipe.build import build
from kdzoo.recipe.identity import identity


def identify(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that two runs share exactly when they must give the same result.

    Raises MissingError or RecipeError if the data cannot be read.
    """
    files = dict(_files({key: settings[key] for key in ("student", "learners", "teachers")}, ""))
    base = identity(settings, files=files)
    data = _data(settings["task"], settings["paths"].get("data"))
    return digests.of_text(f"{base} {data}")[: digests.SHORT]


def _data(task: Mapping[str, Any], root: str | None) -> str:
    """The data's fingerprint; the same data are read once a process, unless they are the user's own tensors."""
    try:
        return _read(json.dumps(task), root)
    except TypeError:
        return _fingerprint(task, root)


@cache
def _read(task: str, root: str | None) -> str:
    return _fingerprint(json.loads(task), root)


def _fingerprint(task: Mapping[str, Any], root: str | None) -> str:
    opened: Any = build("tasks", task, "task")
    found: str = opened.fingerprint(Path(root) if root else None)
    return found


def _files(tree: Any, path: str) -> Iterator[tuple[str, Path]]:
    """Every setting of a model or teacher that names an existing file."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _files(value, f"{path}.{key}")
    elif isinstance(tree, str):
        if tree and len(tree) < 4096 and Path(tree).is_file():
            yield path, Path(tree)
    elif isinstance(tree, Sequence):
        for number, value in enumerate(tree):
            yield from _files(value, f"{path}[{number}]")
