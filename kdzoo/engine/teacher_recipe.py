"""A teacher that is a recipe of its own: where the run that trains it lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo.engine.names_check import check_run_name
from kdzoo.engine.run_identity import identify
from kdzoo.recipe.load import Recipe


@dataclass(frozen=True)
class TeacherRecipe:
    """A teacher's settings, on the outer run's machine, and the folder under its identity that all runs share."""

    name: str
    identity: str
    settings: Mapping[str, Any]
    folder: Path

    @classmethod
    def of(cls, recipe: Mapping[str, Any], outer: Mapping[str, Any]) -> TeacherRecipe:
        """The run of a recipe that stands inside the settings `outer`; nobody tracks it."""
        settings = {**recipe, "runtime": {**outer["runtime"], "trackers": []}, "paths": outer["paths"]}
        name, identity = settings["name"] or "teacher", identify(settings)
        check_run_name(name, "the name of a teacher's recipe")
        return cls(name, identity, settings, Path(settings["runtime"]["out"]) / "teachers" / f"{name}-{identity}")

    @property
    def recipe(self) -> Recipe:
        return Recipe(dict(self.settings), "a teacher's recipe", {})


def nested(settings: Mapping[str, Any]) -> Iterator[TeacherRecipe]:
    """The teachers that `settings` describes by a recipe, without those that these have in turn."""
    for spec in settings["teachers"].values():
        if spec.get("recipe") is not None:
            yield TeacherRecipe.of(spec["recipe"], settings)


def in_training_order(settings: Mapping[str, Any], *, skip: Callable[[TeacherRecipe], bool]) -> Iterator[TeacherRecipe]:
    """All teachers that are recipes of their own, each after its own teachers.

    `skip` is asked before the teachers of a teacher are looked at; they are left out with it.
    """
    for teacher in nested(settings):
        if not skip(teacher):
            yield from in_training_order(teacher.settings, skip=skip)
            yield teacher
