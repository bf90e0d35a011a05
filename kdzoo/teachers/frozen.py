"""A frozen teacher: always in eval mode, no graph, its state bit for bit the same after training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.roles import Existing, RecipeRef
from kdzoo.protocol.task import Model
from kdzoo.protocol.teacher import Teacher
from kdzoo.teachers.loading import built
from kdzoo.teachers.normalization import check, renormalized, words


class Frozen(Teacher):
    """A trained model that does not move.

    Args:
        model, checkpoint: an architecture and its weights file. Without a checkpoint it is a random network (a control).
        recipe: instead of both, the recipe that trains it; trained once, stored under its identity, and shared.
        weights: of a recipe, the `last` epoch's weights or the `best` on validation. `initial` leaves the model as it is
            initialized, whatever recipe or checkpoint there is: a control.
        mean, sd: per channel, of pixels in [0, 1], that the model's inputs were normalized by in its training, where they are
            not the task's; inputs are renormalized for it. A recipe brings its own.
    """

    def __init__(
        self,
        *,
        model: Model | None = None,
        checkpoint: Existing | None = None,
        recipe: RecipeRef | None = None,
        weights: Literal["last", "best", "initial"] = "last",
        mean: Sequence[float] | None = None,
        sd: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if recipe is not None and (model is not None or checkpoint is not None):
            raise ValueError("recipe brings the model and its weights: remove model and checkpoint, or the recipe")
        if recipe is None and model is None:
            raise ValueError("a model is missing: give one (model: {use: resnet56}), or a recipe that trains one")
        if recipe is None and weights == "best":
            raise ValueError("weights best is of a recipe, and there is none: remove it, as a checkpoint has one state")
        check(mean, sd)
        if recipe is not None and mean is not None:
            raise ValueError("recipe brings the mean and sd of its own training: remove mean and sd")
        self.spec, self.checkpoint, self.recipe, self.weights, self.mean, self.sd = model, checkpoint, recipe, weights, mean, sd

    def build(self, run: RunContext) -> None:
        self.model = built(
            run, self.name, model=self.spec, checkpoint=self.checkpoint, recipe=self.recipe, weights=self.weights
        )
        if self.mean is not None and self.sd is not None:
            given = run.task.preprocessing()
            self.model = renormalized(self.model, given, self.mean, self.sd, f"teachers.{self.name}")

    def remarks(self) -> Sequence[str]:
        """The statistics of its own, if it has them."""
        if self.mean is None or self.sd is None:
            return ()
        return (f"Teacher {self.name!r} gets images normalized by its own mean {words(self.mean)} and sd {words(self.sd)}.",)
