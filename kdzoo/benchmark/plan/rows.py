"""What a row of a bench changes in its recipe, and which row is the student alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdzoo.errors import RecipeError
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.paths import copied
from kdzoo.recipe.read import own_layer, read
from kdzoo.recipe.schema import USE

Overrides = Mapping[str, Any]
LABELS = "hard_label"
METHODS, SCHEDULES, REFERENCE, RECIPE = "methods", "schedules", "reference", "recipe"
PUBLISHED = "published"  # the name of a row's number in the table, which changes nothing in the recipe
BARE_STUDENT: Overrides = {"methods": {LABELS: {}}, "teacher": None, "teachers": None, "learners": None}
"""The row that is always there: the recipe's student with nothing but the labels."""
OF_A_METHOD = ("task", "student", "teacher", "teachers", "learners", "optimizers", SCHEDULES)
"""What a row takes besides methods from the own file of its recipe; the seed, the budget and the machine are the bench's."""


def changed(layers: Layers, row: Overrides, origin: Origin, *, folder: Path | None = None) -> Layers:
    """A recipe with a row laid over it: `methods` are replaced (with the schedules of those that go), the rest is merged.

    A row with a `recipe` is laid over what that one says of its method, its `methods` merged as well. The recipe's published
    number is not that of a row that changes something.

    Args:
        folder: what the path of the row's `recipe` is relative to, if not to the origin's.
    """
    own = Layers(copied(layers.tree), dict(layers.origins))
    if row.keys() - {REFERENCE, PUBLISHED} and REFERENCE in own.tree:
        own.remove(REFERENCE)
    if row.get(RECIPE) is not None:
        _take(own, row[RECIPE], folder or origin.folder)
    elif METHODS in row:
        _drop_methods(own, kept=set(row[METHODS] or {}))
    own.merge(_merged({key: value for key, value in row.items() if key not in (RECIPE, PUBLISHED)}, own), origin)
    return own


def is_alone(tree: Mapping[str, Any]) -> bool:
    """Whether a recipe trains the student on the labels only, as they are."""
    methods = tree.get("methods") or {}
    if len(methods) != 1 or any(tree.get(key) for key in ("teacher", "teachers", "learners")):
        return False
    label, spec = next(iter(methods.items()))
    spec = {USE: spec} if isinstance(spec, str) else spec or {}
    return spec.get(USE, label) == LABELS and not spec.get("targets") and not spec.get("logits")


def _take(own: Layers, recipe: Any, folder: Path) -> None:
    """Replace the methods by those of another recipe, and change whatever that one's own file changes for them."""
    if not isinstance(recipe, str):
        raise RecipeError(f"{RECIPE} must be the name or path of one recipe, got {recipe!r}.")
    other = read(recipe, folder=folder)
    if other.tree.get("bench"):
        raise RecipeError(f"{RECIPE}: {recipe} is a bench itself; a row is one method: name a recipe without `bench`.")
    if not other.tree.get(METHODS):
        raise RecipeError(f"{RECIPE}: {recipe} has no methods for the row to take; name a recipe with `{METHODS}`.")
    said, origin = own_layer(recipe, folder=folder)
    _drop_methods(own, kept=set())
    own.adopt(METHODS, other)
    theirs = {path: spec for path, spec in (other.tree.get(SCHEDULES) or {}).items() if _of_methods(path)}
    if theirs:
        own.merge({SCHEDULES: copied(theirs)}, origin)
    _drop_absent(own, other.tree)
    own.merge(_merged({key: value for key, value in said.items() if key in OF_A_METHOD}, own), origin)


def _drop_absent(own: Layers, other: Mapping[str, Any]) -> None:
    """Remove the teachers and the other learners where the other recipe has none."""
    for keys in (("teacher", "teachers"), ("learners",)):
        if not any(other.get(key) for key in keys):
            for key in own.tree.keys() & keys:
                own.remove(key)


def _merged(layer: Mapping[str, Any], own: Layers) -> dict[str, Any]:
    """A layer without the nulls that would remove nothing."""
    return {key: value for key, value in layer.items() if value is not None or key in own.tree}


def _of_methods(path: str) -> bool:
    return path.partition(".")[0] == METHODS


def _drop_methods(own: Layers, kept: set[str]) -> None:
    """Remove the methods, and the schedules of those that are not to be `kept`."""
    if METHODS in own.tree:
        own.remove(METHODS)
    for path in list(own.tree.get(SCHEDULES) or {}):
        if _of_methods(path) and path.split(".")[1] not in kept:
            own.remove(f"{SCHEDULES}.{path}")
