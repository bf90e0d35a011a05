"""Where a model-backed teacher's weights come from: a checkpoint file, a recipe of its own, or the user's own module."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.roles import RecipeRef
from kdzoo.protocol.task import Model
from kdzoo.weights import load_weights

INITIAL = "initial"


def built(
    run: RunContext, name: str, *, model: Model | None, checkpoint: str | None, recipe: RecipeRef | None, weights: str
) -> nn.Module:
    """The teacher's module with its weights.

    Raises:
        RecipeError: the checkpoint does not fit.
        MissingError: the checkpoint file is not there.
    """
    if recipe is not None:
        return run.trained(recipe.settings, which=weights)
    assert model is not None  # one of both is there, as the teacher has made sure
    module = run.task.build_teacher(model)
    if checkpoint is not None and weights != INITIAL:
        load_weights(module, Path(checkpoint), f"teachers.{name}.checkpoint")
    return module
