"""The identity of a run: its settings, the content of its weights files and data, the code of its plugins, its seed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from kdzoo import digests, registry
from kdzoo.protocol.blame import hook_of, returned
from kdzoo.recipe.build import build
from kdzoo.recipe.identity import identity, relevant
from kdzoo.recipe.paths import USE

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".onnx")


def identify(settings: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that two runs share exactly when they must give the same result.

    Raises MissingError or RecipeError if the data cannot be read.
    """
    base = identity(settings, files=_files_behind(settings))
    own = data_of(settings)
    data = " ".join([own, *(other for other in _data_of_teachers(settings) if other != own)])
    processes = os.environ.get("WORLD_SIZE", "1")
    # Each process sees its part of a batch, so BatchNorm's statistics are others.
    shared = "" if processes == "1" else f" {processes} processes"
    return digests.of_text(f"{base} {data}{shared}")[: digests.SHORT]


def data_of(settings: Mapping[str, Any]) -> str:
    """The data's fingerprint; the same data are read once a command (`forget_data`), unless they are the user's own tensors."""
    task, root = settings["task"], settings["paths"].get("data")
    try:
        return _read(json.dumps(task), root)
    except TypeError:
        return _fingerprint(task, root)


def forget_data() -> None:
    """Read all data again when they are asked for next, as files may have changed since."""
    _read.cache_clear()


def _data_of_teachers(settings: Mapping[str, Any]) -> Iterator[str]:
    """Of the recipes that train teachers, and of those inside them."""
    for spec in settings["teachers"].values():
        if isinstance(spec.get("recipe"), Mapping):
            inner = {**spec["recipe"], "paths": settings["paths"]}
            yield data_of(inner)
            yield from _data_of_teachers(inner)


@cache
def _read(task: str, root: str | None) -> str:
    return _fingerprint(json.loads(task), root)


def _fingerprint(task: Mapping[str, Any], root: str | None) -> str:
    opened: Any = build("tasks", task, "task")
    with hook_of("task", "fingerprint"):
        return returned(opened.fingerprint(Path(root) if root else None), str, "task", "fingerprint")


def _files_behind(settings: Mapping[str, Any]) -> dict[str, Path]:
    """Files of models and teachers, and of other settings what is written as a path; the data have a fingerprint."""
    models = {key: settings[key] for key in ("student", "learners", "teachers")}
    others = {key: value for key, value in relevant(settings).items() if key not in models and key != "task"}
    written = {where: file for where, file in files_of(others).items() if file.suffix or file.parent != Path()}
    return files_of(models) | written


def _is_saved_model(path: str) -> bool:
    """Whether a text is the path of a folder with weights in it, as the transformers library saves a model."""
    return os.path.isdir(path) and any(entry.suffix in WEIGHTS for entry in Path(path).iterdir())


def files_of(tree: Mapping[str, Any]) -> dict[str, Path]:
    """Path of a setting (`.student.weights`) -> the existing file, or folder of a saved model, that it names."""
    return dict(_files(tree, ""))


def _of_plugin(spec: Mapping[str, Any]) -> dict[str, Path]:
    """Files behind settings of a model that are no paths: its factory says so by `files(settings) -> {setting: path}`."""
    name = spec.get(USE)
    if not isinstance(name, str) or name not in registry.discover("models"):
        return {}
    files = getattr(registry.get("models", name), "files", None)
    found: dict[str, Path] = files(spec) if files else {}
    return found


def _files(tree: Any, path: str) -> Iterator[tuple[str, Path]]:
    """Every setting that names an existing file, or the folder of a saved model."""
    if isinstance(tree, Mapping):
        yield from ((f"{path}.{key}", file) for key, file in _of_plugin(tree).items())
        for key, value in tree.items():
            yield from _files(value, f"{path}.{key}") if key != USE else ()
    elif isinstance(tree, str):
        place = os.path.expanduser(tree)
        if os.path.isfile(place) or _is_saved_model(place):  # False for a text that cannot be a path at all
            yield path, Path(place)
    elif isinstance(tree, Sequence):
        for number, value in enumerate(tree):
            yield from _files(value, f"{path}[{number}]")
