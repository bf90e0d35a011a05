"""A run folder in the place of a recipe: the same run once more, or the rest of it."""

from __future__ import annotations

import os
from pathlib import Path

from kdzoo import registry
from kdzoo.engine.provenance import RECIPE, Made
from kdzoo.engine.run_identity import identify
from kdzoo.engine.trainee import finished
from kdzoo.recipe.load import Recipe

AGAIN = "again"
"""The folder in a finished run's that its repetition goes to."""


def is_run_folder(place: str | Path) -> bool:
    """Whether a run has left its recipe there."""
    return os.path.isfile(os.path.join(place, RECIPE))


def recipe_of(folder: Path) -> Path:
    """The resolved recipe in a run folder, once the plugin files that the run was made with are registered.

    A plugin file of the same name that is registered already stays.

    Raises:
        RecipeError: the run held Python objects. PluginError: a kept plugin file is broken.
    """
    made = Made.read(folder)
    made.check_repeatable()
    load_kept_plugins(made)
    return folder / RECIPE


def load_kept_plugins(made: Made) -> None:
    """Register the plugin files that a run was made with, but for those whose names are registered."""
    known = {path.name for path in registry.loaded_files()}
    for path in made.plugins:
        if path.name not in known:
            registry.load_file(path)


def place_of(folder: Path, recipe: Recipe, *, force: bool) -> Path:
    """Where the recipe of a run folder is trained: there, if something is left to do or by force; else in `again` within it."""
    identity = identify(recipe.settings)
    same = Made.read(folder).identity == identity
    return folder if same and (force or finished(folder, identity) is None) else folder / AGAIN
