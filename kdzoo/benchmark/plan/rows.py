"""What a row of a bench changes in its recipe, and which row is the student alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kdzoo import registry
from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.load import SHORT, TEACHERS
from kdzoo.recipe.paths import USE
from kdzoo.recipe.read import METHODS, RECIPE, drop_methods, fitting, take

Overrides = Mapping[str, Any]
LABELS = "hard_label"
REFERENCE = "reference"
PUBLISHED = "published"  # the name of a row's number in the table, which changes nothing in the recipe
SEEDS = "seeds"  # how many of the bench's seeds a row is trained with, which changes nothing either
BARE_STUDENT: Overrides = {"methods": {LABELS: {}}, "teacher": None, "teachers": None, "learners": None}
"""The row that is always there: the recipe's student with nothing but the labels."""


def changed(layers: Layers, row: Overrides, origin: Origin, *, folder: Path | None = None) -> Layers:
    """A recipe with a row laid over it: `methods` are replaced (with the schedules of those that go), the rest is merged.

    A row with a `recipe` is laid over what that one says of its method, its `methods` merged as well. The recipe's published
    number is not that of a row that changes something.

    Args:
        folder: what the path of the row's `recipe` is relative to, if not to the origin's.
    """
    own = layers.copy()
    if row.keys() - {REFERENCE, PUBLISHED, SEEDS} and REFERENCE in own.tree:
        own.remove(REFERENCE)
    if row.get(RECIPE) is not None:
        take(own, row[RECIPE], folder=folder or origin.folder)
    elif METHODS in row:
        drop_methods(own, kept=set(row[METHODS] or {}))
    own.merge(fitting({key: value for key, value in row.items() if key not in (RECIPE, PUBLISHED, SEEDS)}, own), origin)
    before, now = _teachers(layers.tree), _teachers(own.tree)
    still = {name for name in before.keys() & now if _trains(before[name]) and not _trains(now[name])}
    for name in (before.keys() - now) | (still - set(row.get("optimizers") or ())):
        _forget_role(own, name)
    return own


def _teachers(tree: Mapping[str, Any]) -> dict[str, Any]:
    return ({SHORT: tree[SHORT]} if tree.get(SHORT) is not None else {}) | dict(tree.get(TEACHERS) or {})


def _trains(spec: Any) -> bool:
    """Whether a teacher of this kind is trained; what is wrong with the kind is told when the row is loaded."""
    use = spec.get(USE) if isinstance(spec, Mapping) else spec
    with suppress(KdzooError):
        return isinstance(use, str) and bool(getattr(registry.get("teachers", use), "trains", True))
    return True


def _forget_role(own: Layers, name: str) -> None:
    """Remove the optimizer of a teacher that is no longer there, or no longer trained, and the schedules of both."""
    for path in list(own.tree.get("schedules") or ()):
        if path.startswith((f"optimizers.{name}.", f"teachers.{name}.")):
            own.remove(f"schedules.{path}")
    if name in (own.tree.get("optimizers") or ()):
        own.remove(f"optimizers.{name}")


def is_alone(tree: Mapping[str, Any]) -> bool:
    """Whether a recipe trains the student on the labels only, as they are."""
    methods = tree.get("methods") or {}
    if len(methods) != 1 or any(tree.get(key) for key in ("teacher", "teachers", "learners")):
        return False
    label, spec = next(iter(methods.items()))
    spec = {USE: spec} if isinstance(spec, str) else spec or {}
    return spec.get(USE, label) == LABELS and not spec.get("targets") and not spec.get("logits")
