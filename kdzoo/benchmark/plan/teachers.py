"""Teachers that are recipes of their own: each is trained once, before the cells that learn from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdzoo.engine.teacher_recipe import TeacherRecipe


def nested(settings: Mapping[str, Any]) -> Iterator[TeacherRecipe]:
    """The teachers that `settings` describes by a recipe, without those that these have in turn."""
    for spec in settings["teachers"].values():
        if spec.get("recipe") is not None:
            yield TeacherRecipe.of(spec["recipe"], settings)
