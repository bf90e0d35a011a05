"""A finished run, brought back from its folder: data, the model that it deploys, its teachers, and its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdzoo.engine.assemble import assemble, device_of
from kdzoo.engine.checkpoint import at_epochs, restore_modules
from kdzoo.engine.components import make, method_of
from kdzoo.engine.files import read_json
from kdzoo.engine.launch import deployable
from kdzoo.engine.names_check import STUDENT
from kdzoo.engine.precision import Precision
from kdzoo.engine.run import Run
from kdzoo.engine.settings_of_torch import settings_of_torch
from kdzoo.engine.source import Source
from kdzoo.engine.teacher_recipe import TeacherRecipe
from kdzoo.engine.trainee import DEPLOYED, finished
from kdzoo.errors import CapabilityError, MissingError, RecipeError, looked
from kdzoo.protocol.method import overrides
from kdzoo.protocol.teacher import Teacher
from kdzoo.recipe.build import build
from kdzoo.recipe.load import load, portable
from kdzoo.weights import load_weights

CHECKPOINTS = "checkpoints"
BEST = "best.safetensors"


@dataclass(frozen=True)
class Finished:
    """A run folder that holds a finished run with its weights.

    Attributes:
        settings: its resolved recipe, to be measured in full precision.
        weights: the file of what is deployed; epochs: how many it was trained.
    """

    folder: Path
    settings: Mapping[str, Any]
    weights: Path
    epochs: int

    @property
    def name(self) -> str:
        return str(self.settings["name"] or self.folder.name)


def read(folder: Path, *, weights: str = "last", device: str | None = None) -> Finished:
    """What a run folder holds.

    Args:
        weights: the `last` epoch's, or those of the epoch that was `best` on validation.
        device: in place of the one in its recipe.

    Raises:
        RecipeError: it is no run folder, the run is not finished, or it cannot be rebuilt from its recipe.
        MissingError: there are no weights.
    """
    if not folder.is_dir():
        raise RecipeError(f"There is no run folder {folder} ({looked(folder)}): give the folder that `kdzoo run` named.")
    recipe = folder / "recipe.yaml"
    if not recipe.is_file():
        raise RecipeError(f"{folder} is not a run folder, it has no recipe.yaml: give the folder that `kdzoo run` named.")
    if not (folder / "result.json").is_file():
        raise RecipeError(f"the run in {folder} is not finished; start it again by `kdzoo run`, it resumes.")
    file = folder / (DEPLOYED if weights == "last" else BEST)
    if not file.is_file():
        what = "" if weights == "last" else " of its best epoch"
        raise MissingError(
            f"the run in {folder} has no saved weights{what} ({file.name} is missing), so there is nothing to measure; "
            f"train it again: kdzoo run {recipe} --force"
        )
    settings = load(recipe).settings
    runtime = {**settings["runtime"], "trackers": []} | ({"device": device} if device else {})
    train = {**settings["train"], "precision": "fp32", "compile": False}
    kept = at_epochs(folder / CHECKPOINTS)
    validation = (read_json(folder / "result.json") or {}).get("validation")
    best = validation.get("best_epoch") if isinstance(validation, dict) else None
    if not isinstance(best, int):
        raise RecipeError(f"{folder / 'result.json'} is damaged; train it again: kdzoo run {recipe} --force")
    trained = best if weights == "best" else max(kept, default=train["epochs"])
    return Finished(folder, {**settings, "runtime": runtime, "train": train}, file, trained)


@contextmanager
def rebuilt(found: Finished, *, teacher: bool) -> Iterator[Run]:
    """The run with its final weights, in fp32 without TF32; with its teachers if they are wanted, or deploying needs them.

    Raises:
        MissingError: a teacher that is a recipe of its own is not there any more; nothing is trained here.
        CapabilityError: a teacher moved in training, and its last state is not there any more.
    """
    settings = found.settings
    deploys = any(overrides(method_of(label, spec), "deploy") for label, spec in settings["methods"].items())
    with settings_of_torch(settings), _full_products():
        run = _whole(found) if teacher or deploys else _alone(found)
        load_weights(run.deployed(), found.weights, str(found.folder))
        yield run


def epochs(found: Finished, run: Run) -> Iterator[tuple[int, nn.Module]]:
    """Number of epochs and deployed model, for each checkpoint at the end of an earlier epoch; the run ends as it was."""
    kept = {epoch: place for epoch, place in at_epochs(found.folder / CHECKPOINTS).items() if epoch < found.epochs}
    final = {name: tensor.detach().clone() for name, tensor in run.deployed().state_dict().items()}
    for epoch, checkpoint in sorted(kept.items()):
        restore_modules(run, checkpoint)
        yield epoch, run.deployed()
    run.deployed().load_state_dict(final)


def _alone(found: Finished) -> Run:
    """The task and the student, without methods and teachers."""
    settings, made = found.settings, make(found.settings)
    source = Source.opened(made.task, settings, made.needs, device_of(settings["runtime"]["device"]))
    run = Run(settings=settings, source=source, needs=made.needs, own_needs={}, precision=Precision("fp32", source.device))
    builder: Any = build("models", settings["student"], STUDENT)
    run.learners[STUDENT] = run.task.build(builder).to(run.device)
    return run


def _whole(found: Finished) -> Run:
    """Everything, with what changed in training as the last checkpoint has it."""

    def trained(run: Run, settings: Mapping[str, Any], *, which: str) -> nn.Module:
        wanted = TeacherRecipe.of(settings, run.settings)
        folder = wanted.folder if finished(wanted.folder, wanted.identity) else _same_recipe(wanted)
        if folder is None:
            raise MissingError(
                f"the teacher {wanted.name} of the run in {found.folder} is not in {wanted.folder.parent}; change to the "
                f"folder in which the run was started, or train it again: kdzoo run {found.folder / 'recipe.yaml'} --force"
            )
        module = deployable(wanted.settings)
        load_weights(module, folder / (BEST if which == "best" else DEPLOYED), f"the teacher {wanted.name}")
        return module

    run = assemble(found.settings, train_recipe=trained)
    kept = at_epochs(found.folder / CHECKPOINTS)
    moved = [name for name, teacher in run.teachers.items() if _moves(teacher)]
    if kept:
        restore_modules(run, kept[max(kept)])
    elif moved:
        raise CapabilityError(
            f"the teacher {moved[0]} of the run in {found.folder} moved in training, and its last state is not kept: "
            f"{found.folder / CHECKPOINTS} holds no checkpoint of the last epoch."
        )
    return run


def _moves(teacher: Teacher) -> bool:
    return not teacher.frozen and teacher.model is not None


def _same_recipe(wanted: TeacherRecipe) -> Path | None:
    """The newest finished teacher of the same recipe, trained by another version of the code; None if there is none."""
    recipe = portable(wanted.settings)
    folders = [each for each in wanted.folder.parent.glob(f"{wanted.name}-*") if (each / "result.json").is_file()]
    alike = [each for each in folders if portable(load(each / "recipe.yaml").settings) == recipe]
    return max(alike, key=lambda each: (each / "result.json").stat().st_mtime, default=None)


@contextmanager
def _full_products() -> Iterator[None]:
    """Products of float32 in full, where a GPU would round their factors to TF32."""
    matrices, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matrices, convolutions
