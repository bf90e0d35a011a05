"""Teachers that are recipes of their own: each is trained once, before the cells that learn from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo.engine.identify import identify
from kdzoo.recipe.load import Recipe


@dataclass(frozen=True)
class Trained:
    """A teacher's recipe and the folder in which the engine will look for its run."""

    name: str
    identity: str
    settings: Mapping[str, Any]
    folder: Path

    @property
    def recipe(self) -> Recipe:
        return Recipe(dict(self.settings), "a teacher's recipe", {})


def nested(settings: Mapping[str, Any]) -> Iterator[Trained]:
    """The teachers that `settings` describes by a recipe, without those that these have in turn."""
    for spec in settings["teachers"].values():
        recipe = spec.get("recipe")
        if recipe is None:
            continue
        runtime = {**settings["runtime"], "trackers": []}
        own = {**recipe, "runtime": runtime, "paths": settings["paths"]}
        name, identity = own["name"] or "teacher", identify(own)
        yield Trained(name, identity, own, Path(runtime["out"]) / "teachers" / f"{name}-{identity}")
