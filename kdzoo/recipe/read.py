"""Reading recipe files and mappings, with the recipes that they extend."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Collection, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdzoo.errors import RecipeError
from kdzoo.recipe.find import find, shipped_by
from kdzoo.recipe.keys import Otherwise, keys_quoted
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.values import to_plain

EXTENDS, RECIPE = "extends", "recipe"
METHODS, SCHEDULES, BENCH = "methods", "schedules", "bench"
OF_A_METHOD = ("task", "student", "teacher", "teachers", "learners", "optimizers", SCHEDULES)
"""What is taken besides methods from a recipe's own file; the seed, the budget and the machine are the taker's."""
GIVEN = "the given mapping"
DEFAULTS = "_defaults.yaml"  # what the recipes beside it extend, unless they say otherwise
NOT_INHERITED = ("name", "description", "reference")  # what a file says of itself is not true of its children


def read(
    recipe: str | Path | Mapping[str, Any],
    *,
    folder: Path,
    text: str = GIVEN,
    distribution: str = "",
    chain: tuple[Path, ...] = (),
) -> Layers:
    """A recipe laid over the one that it extends, and that over its own parent.

    Args:
        folder: what relative paths are relative to.
        text, distribution: of a mapping: what messages call it, and who ships it. chain: the files that led here.

    Raises:
        RecipeError: no such recipe, malformed YAML, or files that extend each other.
    """
    if isinstance(recipe, Mapping):
        own, origin = to_plain(recipe), Origin(text, folder, distribution)
    else:
        path = find(str(recipe), folder=folder).resolve()
        if path in chain:
            raise RecipeError(f"Recipes extend each other in a circle: {' -> '.join(map(shown, (*chain, path)))}.")
        own, origin, chain = _with_parent(path), _origin(path), (*chain, path)
    parent = _parent(own.pop(EXTENDS, None), origin)
    layers = Layers() if parent is None else read(parent, folder=origin.folder, chain=chain)
    if not isinstance(recipe, Mapping):
        layers.merge({key: None for key in NOT_INHERITED if key in layers.tree}, origin)
        own.setdefault("name", chain[-1].stem)
        layers.file = origin
    method = own.pop(RECIPE, None)
    if method is not None:
        take(layers, method, folder=origin.folder, chain=chain, where=f" (from {origin.text})")
    layers.merge(own, origin)
    return layers


def take(own: Layers, recipe: Any, *, folder: Path, chain: tuple[Path, ...] = (), where: str = "") -> None:
    """Replace the methods by those of another recipe, with whatever that one's own file changes for them.

    Args: where: a half-sentence on who says so.

    Raises RecipeError where that is no recipe of methods.
    """
    if not isinstance(recipe, str):
        raise RecipeError(f"{RECIPE} must be the name or path of one recipe, got {recipe!r}{where}.")
    other = read(recipe, folder=folder, chain=chain)
    if other.tree.get(BENCH):
        raise RecipeError(f"{RECIPE}: {recipe} is a bench itself; a row is one method: name a recipe without `{BENCH}`.")
    if not other.tree.get(METHODS):
        raise RecipeError(f"{RECIPE}: {recipe} has no methods for the row to take; name a recipe with `{METHODS}`.")
    drop_methods(own, kept=())
    own.adopt(METHODS, other)
    theirs = {path: spec for path, spec in (other.tree.get(SCHEDULES) or {}).items() if _of_methods(path)}
    if theirs:
        own.merge({SCHEDULES: theirs}, _origin(find(recipe, folder=folder).resolve()))
    _drop_absent(own, other.tree)
    for said, origin in _own_layers(recipe, folder):
        own.merge(fitting({key: value for key, value in said.items() if key in OF_A_METHOD}, own), origin)


def drop_methods(own: Layers, kept: Collection[str]) -> None:
    """Remove the methods, and the schedules of those that are not to be `kept`."""
    if METHODS in own.tree:
        own.remove(METHODS)
    for path in list(own.tree.get(SCHEDULES) or {}):
        if _of_methods(path) and path.split(".")[1] not in kept:
            own.remove(f"{SCHEDULES}.{path}")


def fitting(layer: Mapping[str, Any], own: Layers) -> dict[str, Any]:
    """A layer without the nulls that would remove nothing."""
    return {key: value for key, value in layer.items() if value is not None or key in own.tree}


def inherits_defaults(path: Path, own: Mapping[str, Any]) -> bool:
    """Whether a recipe file extends the defaults of its folder: those are there, and it names no other recipe to extend."""
    return EXTENDS not in own and not path.name.startswith("_") and (path.parent / DEFAULTS).is_file()


def contents(path: Path) -> dict[str, Any]:
    """What stands in a recipe file. Raises RecipeError if it cannot be read."""
    try:
        content = copy.deepcopy(_parsed(path.read_text("utf-8")))
    except Otherwise as error:
        raise RecipeError(f"{shown(path)}, line {_line(error)}: {error.problem}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{shown(path)}{line}: {error.problem or error.context}; expected YAML.") from None
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError, RecursionError) as error:
        raise RecipeError(f"{shown(path)} cannot be read: {str(error).splitlines()[0]}.") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{shown(path)} holds a list; a recipe is a mapping, with lines such as `student: resnet20`.")
    return {str(key): value for key, value in content.items()}


def _line(error: yaml.MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark else 1


@functools.lru_cache(maxsize=512)
def _parsed(text: str) -> Any:
    """What stands in a text; a bench reads the same few files for each of its rows."""
    return OmegaConf.to_container(OmegaConf.load(StringIO(keys_quoted(text))), resolve=False)


def shown(path: Path) -> str:
    """A file's path as messages show it: relative where it lies below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _origin(path: Path) -> Origin:
    return Origin(shown(path), path.parent, shipped_by(path))


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


def _own_layers(recipe: str, folder: Path) -> Iterator[tuple[dict[str, Any], Origin]]:
    """What a recipe's own file says over the one that it extends, after the same of the recipe that it takes."""
    path = find(recipe, folder=folder).resolve()
    own = _with_parent(path)
    if own.get(RECIPE) is not None:
        yield from _own_layers(own[RECIPE], path.parent)
    if own.pop(EXTENDS, None) is not None:
        yield own, _origin(path)


def _drop_absent(own: Layers, other: Mapping[str, Any]) -> None:
    """Remove the teachers and the other learners where the other recipe has none."""
    for keys in (("teacher", "teachers"), ("learners",)):
        if not any(other.get(key) for key in keys):
            for key in own.tree.keys() & set(keys):
                own.remove(key)


def _of_methods(path: str) -> bool:
    return path.partition(".")[0] == METHODS
