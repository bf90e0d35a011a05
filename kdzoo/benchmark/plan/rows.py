"""What a row of a bench changes in its recipe, and which row is the student alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.paths import copied
from kdzoo.recipe.schema import USE

Overrides = Mapping[str, Any]
LABELS = "hard_label"
REFERENCE = "reference"
BARE_STUDENT: Overrides = {"methods": {LABELS: {}}, "teacher": None, "teachers": None, "learners": None}
"""The row that is always there: the recipe's student with nothing but the labels."""


def changed(layers: Layers, row: Overrides, origin: Origin) -> Layers:
    """A recipe with a row laid over it: `methods` are replaced (with the schedules of those that go), the rest is merged.

    The recipe's published number is not that of a row that changes something.
    """
    own = Layers(copied(layers.tree), dict(layers.origins))
    if "methods" in row:
        _replace(own, set(row["methods"] or {}))
    if row.keys() - {REFERENCE} and REFERENCE in own.tree:
        own.remove(REFERENCE)
    own.merge({key: value for key, value in row.items() if value is not None or key in own.tree}, origin)
    return own


def is_alone(tree: Mapping[str, Any]) -> bool:
    """Whether a recipe trains the student on the labels only, as they are."""
    methods = tree.get("methods") or {}
    if len(methods) != 1 or any(tree.get(key) for key in ("teacher", "teachers", "learners")):
        return False
    label, spec = next(iter(methods.items()))
    spec = {USE: spec} if isinstance(spec, str) else spec or {}
    return spec.get(USE, label) == LABELS and not spec.get("targets") and not spec.get("logits")


def _replace(own: Layers, kept: set[str]) -> None:
    if "methods" in own.tree:
        own.remove("methods")
    for path in list(own.tree.get("schedules") or {}):
        kind, _, rest = path.partition(".")
        if kind == "methods" and rest.split(".")[0] not in kept:
            own.remove(f"schedules.{path}")
