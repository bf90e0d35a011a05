"""From resolved settings to a finished run folder.

A run folder holds `recipe.yaml` (resolved), `run.json` and `plugins/` (how it was made), `metrics.jsonl`, `checkpoints/`,
`best.safetensors`, `student.safetensors` (what is deployed), `predictions.npz`, and `result.json`, which is written last and
marks the run as finished.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from kdzoo.engine.assemble import assemble
from kdzoo.engine.components import method_of
from kdzoo.engine.names_check import STUDENT
from kdzoo.engine.results import Result
from kdzoo.engine.run import Run
from kdzoo.engine.run_identity import identify
from kdzoo.engine.settings_of_torch import settings_of_torch
from kdzoo.engine.teacher_recipe import TeacherRecipe
from kdzoo.engine.tracking import Called
from kdzoo.engine.trainee import DEPLOYED, Listener, Tell, Trainee, finished
from kdzoo.errors import MissingError, RecipeError
from kdzoo.protocol.task import Task
from kdzoo.recipe.build import build
from kdzoo.recipe.load import Recipe
from kdzoo.teachers.loading import INITIAL
from kdzoo.teachers.normalization import renormalized, words
from kdzoo.weights import load_weights

__all__ = ["DEPLOYED", "Listener", "deployable", "finished", "launch", "opened", "trained"]

T = TypeVar("T")


def launch(
    recipe: Recipe,
    *,
    folder: Path | None = None,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    tell: Tell | None = None,
    called: Called | None = None,
) -> Result:
    """Train a recipe to its end, or find that it is done.

    Args:
        folder: the run folder; default `<runtime.out>/<name>/<identity>`.
        force: forget what is there and train again.
        listeners: called with every record of the log (progress bars).
        tell: called with sentences about what was found in the folder, whom this run waits for, and what is done with its data.
        called: what trackers call it; default its name.

    Raises:
        RecipeError, CapabilityError, MissingError: before anything is written; also where the folder is another run's.
        RunFailed: a loss became NaN, the disk filled up. Interrupted: after SIGINT or SIGTERM.
    """
    settings = recipe.settings

    def assembled() -> Run:
        return assemble(settings, recipe.provenance, train_recipe=functools.partial(trained, tell=tell))

    with settings_of_torch(settings):
        identity = identify(settings)
        folder = folder or Path(settings["runtime"]["out"]) / (settings["name"] or "run") / identity
        trainee = Trainee(
            recipe, identity, folder, assembled=assembled, force=force, listeners=listeners, tell=tell, called=called
        )
        with closing(trainee.steps()) as steps:
            return carried_out(steps)


def carried_out(steps: Generator[Any, None, T]) -> T:
    """What a generator returns once it has been exhausted."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        returned: T = end.value
        return returned


def trained(run: Run, settings: Mapping[str, Any], *, which: str, tell: Tell | None = None) -> nn.Module:
    """The deployed module of a recipe that is a teacher here: trained once, stored under its identity, shared."""
    nested = TeacherRecipe.of(settings, run.settings)
    if which != INITIAL and finished(nested.folder, nested.identity) is None:
        launch(nested.recipe, folder=nested.folder, tell=tell)
    task = opened(nested.settings)
    module = deployable(nested.settings, task)
    if which != INITIAL:
        file = nested.folder / ("best.safetensors" if which == "best" else DEPLOYED)
        try:
            load_weights(module, file, "teacher")
        except (MissingError, RecipeError) as error:
            warnings.warn(f"{error} The teacher is trained again.", stacklevel=2)
            launch(nested.recipe, folder=nested.folder, force=True, tell=tell)
            load_weights(module, file, "teacher")
    return _as_trained(module, task.preprocessing(), run.task.preprocessing(), f"the teacher {nested.name}", tell)


def _as_trained(module: nn.Module, own: Mapping[str, Any], given: Mapping[str, Any], who: str, tell: Tell | None) -> nn.Module:
    """A module that gets its inputs normalized as in its own training, where that was otherwise than here."""
    names = ("mean", "std")
    if all(own.get(name) == given.get(name) for name in names) or any(
        name not in each for name in names for each in (own, given)
    ):
        return module
    if tell is not None:
        tell(f"Inputs are renormalized for {who}: mean {words(own['mean'])}, sd {words(own['std'])}, as in its own training.")
    return renormalized(module, given, own["mean"], own["std"], who)


def deployable(settings: Mapping[str, Any], task: Task | None = None) -> nn.Module:
    """The module that a recipe deploys, untrained, without its methods where the student itself is deployed.

    Args: task: the recipe's, if it is open already.
    """
    from kdzoo.protocol.method import overrides

    if any(overrides(method_of(label, spec), "deploy") for label, spec in settings["methods"].items()):
        return copy.deepcopy(assemble(settings, train_recipe=trained).deployed())
    return (task or opened(settings)).build(build("models", settings["student"], STUDENT))  # type: ignore[arg-type]


def opened(settings: Mapping[str, Any]) -> Task:
    """The recipe's task with its data, on the CPU, for whoever needs a model or data but no run."""
    from kdzoo.protocol.needs import Needs
    from kdzoo.random import Streams

    task: Task = build("tasks", settings["task"], "task")  # type: ignore[assignment]
    root = settings["paths"].get("data")
    device = torch.device("cpu")
    task.open(needs=Needs(), streams=Streams(settings["seed"]), device=device, root=Path(root) if root else None)
    return task
