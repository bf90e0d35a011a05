"""Reading recipe files and mappings, with the recipes that they extend."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdzoo.errors import RecipeError
from kdzoo.recipe.find import find
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.values import to_plain

EXTENDS = "extends"
GIVEN = "the given mapping"
DEFAULTS = "_defaults.yaml"  # what the recipes beside it extend, unless they say otherwise
NOT_INHERITED = ("name", "description", "reference")  # what a file says of itself is not true of its children


def read(recipe: str | Path | Mapping[str, Any], *, folder: Path, text: str = GIVEN, chain: tuple[Path, ...] = ()) -> Layers:
    """A recipe laid over the one that it extends, and that over its own parent.

    Args:
        folder: what relative paths are relative to.
        text: what messages call a mapping; chain: the files that led here.

    Raises:
        RecipeError: no such recipe, malformed YAML, or files that extend each other.
    """
    if isinstance(recipe, Mapping):
        own, origin = to_plain(recipe), Origin(text, folder)
    else:
        path = find(str(recipe), folder=folder).resolve()
        if path in chain:
            raise RecipeError(f"Recipes extend each other in a circle: {' -> '.join(map(shown, (*chain, path)))}.")
        own, origin, chain = _with_parent(path), Origin(shown(path), path.parent), (*chain, path)
    parent = _parent(own.pop(EXTENDS, None), origin)
    layers = Layers() if parent is None else read(parent, folder=origin.folder, chain=chain)
    if not isinstance(recipe, Mapping):
        layers.merge({key: None for key in NOT_INHERITED if key in layers.tree}, origin)
        own.setdefault("name", chain[-1].stem)
    layers.merge(own, origin)
    return layers


def own_layer(recipe: str, *, folder: Path) -> tuple[dict[str, Any], Origin]:
    """What a recipe's own file says over the one that it extends; nothing if it extends none. Raises RecipeError."""
    path = find(recipe, folder=folder).resolve()
    own, origin = _with_parent(path), Origin(shown(path), path.parent)
    return (own, origin) if own.pop(EXTENDS, None) is not None else ({}, origin)


def inherits_defaults(path: Path, own: Mapping[str, Any]) -> bool:
    """Whether a recipe file extends the defaults of its folder: those are there, and it names no other recipe to extend."""
    return EXTENDS not in own and not path.name.startswith("_") and (path.parent / DEFAULTS).is_file()


def contents(path: Path) -> dict[str, Any]:
    """What stands in a recipe file. Raises RecipeError if it cannot be read."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{shown(path)}{line}: {error.problem or error.context}; expected YAML.") from None
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"{shown(path)} cannot be read: {str(error).splitlines()[0]}.") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{shown(path)} holds a list; a recipe is a mapping, with lines such as `student: resnet20`.")
    return {str(key): value for key, value in content.items()}


def shown(path: Path) -> str:
    """A file's path as messages show it: relative where it lies below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _parent(extends: Any, origin: Origin) -> str | None:
    if isinstance(extends, list) and len(extends) == 1:
        extends = extends[0]
    if extends is not None and not isinstance(extends, str):
        raise RecipeError(f"`{EXTENDS}` in {origin.text} must be the path or name of one recipe, got {extends!r}.")
    return extends


def _with_parent(path: Path) -> dict[str, Any]:
    """A file's contents, with the defaults of its folder as the recipe that it extends, if they are."""
    own = contents(path)
    return {EXTENDS: DEFAULTS, **own} if inherits_defaults(path, own) else own
