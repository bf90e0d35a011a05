"""From Python the same as on the command line: `kdzoo.run`, with the user's own modules and tensors in place of names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from kdzoo import registry
from kdzoo.benchmark.plan.rows import changed
from kdzoo.engine import again
from kdzoo.engine.components import make
from kdzoo.engine.launch import finished, launch
from kdzoo.engine.run_identity import forget_data, identify
from kdzoo.engine.settings_of_torch import settings_of_torch
from kdzoo.engine.teacher_recipe import in_training_order
from kdzoo.engine.trainee import Tell
from kdzoo.errors import RecipeError
from kdzoo.finished_run import FinishedRun
from kdzoo.given import Data, Setting, sections_of
from kdzoo.recipe.layers import Origin
from kdzoo.recipe.load import Recipe, resolved
from kdzoo.recipe.overrides import apply
from kdzoo.recipe.read import read
from kdzoo.terminal.console import main_process, say
from kdzoo.terminal.run_progress import watching


def run(
    recipe: str | Path | Mapping[str, Any],
    *,
    student: Setting | nn.Module | None = None,
    teacher: Setting | nn.Module | None = None,
    data: Data | None = None,
    methods: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    plugins: Sequence[str | Path] = (),
    folder: str | Path | None = None,
    force: bool = False,
    progress: bool = True,
) -> FinishedRun:
    """Train a recipe, as `kdzoo run` does: an interrupted run goes on, a finished one is not repeated.

    Args:
        recipe: a name, a path, a mapping with what a recipe file would hold, or a run folder: the rest of that run, or, if
            it is finished, the same once more in `again` within it.
        student, teacher: what a recipe would say, or a module of your own. A teacher's module is used frozen.
        data: what a recipe would say in `task.data`, or your own: tensors `(train_images, train_labels, test_images,
            test_labels)`, see `kdzoo.data.Tensors`; PyTorch data sets or loaders of images, `(train, test)` or `{"train": ...,
            "test": ..., "validation": ...}`, which are read once; `{"train": rows, "test": rows}`, data sets of Hugging Face
            for instance.
        methods: in place of the recipe's.
        overrides: dotted path -> value, laid over all of this, e.g. `{"train.epochs": 1}`; None sets null.
        plugins: Python files whose plugins the recipe uses.
        folder: the run folder; default `<runtime.out>/<name>/<identity>`.
        force: train again what is finished.
        progress: show it on standard error.

    Returns:
        The finished run: `.metric`, `.values` (what `result.json` holds), `.folder`, `.model()` and `.export()`.

    Raises:
        RecipeError, CapabilityError, PluginError, MissingError: before anything is trained.
        RunFailed: a loss became NaN, or the disk is full. Interrupted: after SIGINT or SIGTERM.
    """
    forget_data()
    for path in plugins:
        registry.load_file(path)
    given = sections_of(student=student, teacher=teacher, data=data, methods=methods)
    before = Path(recipe) if isinstance(recipe, str | Path) and again.is_run_folder(recipe) else None
    loaded = composed(again.recipe_of(before) if before else recipe, given, overrides or {})
    place = Path(folder) if folder else None
    if before and not (given or overrides or place):
        place = again.place_of(before, loaded, force=force)
    return train(loaded, folder=place, force=force, progress=progress)


def train(recipe: Recipe, *, folder: Path | None = None, force: bool = False, progress: bool = True) -> FinishedRun:
    """Train a loaded recipe; with `progress`, say what was found in its folder and how it goes."""
    settings = recipe.settings
    if not settings["methods"]:
        hint = f"`kdzoo bench {recipe.source}` trains its rows" if settings["bench"] else "add e.g. methods.hard_label={}"
        raise RecipeError(f"{recipe.source} names no method, so there is nothing to train for: {hint}.")
    with settings_of_torch(settings):
        make(settings, recipe.provenance)  # whatever is wrong with them is said before a teacher is trained
        identity = identify(settings)
        folder = folder or Path(settings["runtime"]["out"]) / (settings["name"] or "run") / identity
        tell = _once(say) if progress and main_process() else None
        if force or finished(folder, identity) is None:
            _teachers_first(settings, tell, progress=progress)
        return _launched(recipe, folder, tell, force=force, progress=progress)


def _once(tell: Tell) -> Tell:
    """The same, but for what it has been told before: a run and its teacher often say the same of their data."""
    told: set[str] = set()

    def heard(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            tell(sentence)

    return heard


def _teachers_first(settings: Mapping[str, Any], tell: Tell | None, *, progress: bool) -> None:
    """Train the teachers that are recipes of their own where one can see it; the engine would do it silently."""
    for teacher in in_training_order(settings, skip=lambda found: finished(found.folder, found.identity) is not None):
        if tell:
            tell(f"First the teacher {teacher.name}: {teacher.folder}")
        _launched(teacher.recipe, teacher.folder, tell, progress=progress)


def _launched(recipe: Recipe, folder: Path, tell: Tell | None, *, force: bool = False, progress: bool) -> FinishedRun:
    unit = getattr(registry.get("tasks", recipe.settings["task"]["use"]), "unit", "images")
    with watching(unit=unit, quiet=not progress) as listeners:
        done = launch(recipe, folder=folder, force=force, listeners=listeners, tell=tell)
    return FinishedRun(done.folder, done.identity, done.values, recipe.settings)


def composed(recipe: str | Path | Mapping[str, Any], sections: Mapping[str, Any], overrides: Mapping[str, Any]) -> Recipe:
    """A recipe with whole sections, and then dotted settings, laid over it; `methods` are replaced, the rest is merged."""
    layers = read(recipe, folder=Path.cwd())
    layers = changed(layers, sections, Origin("the arguments of kdzoo.run", Path.cwd()))
    apply(layers, [_written(path, value) for path, value in overrides.items()])
    return resolved(layers, "the given mapping" if isinstance(recipe, Mapping) else str(recipe))


def _written(path: str, value: Any) -> str:
    """An override as the command line would have it."""
    try:
        return f"{path}={json.dumps(value)}"
    except TypeError:
        raise RecipeError(
            f"overrides[{path!r}] holds a Python object ({type(value).__name__}), but overrides are plain values: "
            "give it as student, teacher or data, or in the recipe's mapping."
        ) from None
