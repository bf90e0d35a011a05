"""KD-sim: the target of an example is how alike its class is to each class, by the teacher's classifier alone.

Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain, "Understanding and Improving Knowledge Distillation", 2020 (arXiv 2002.03532).

    rho = softmax(f(cos(w_y, w_k))^alpha / temperature) over k        w: (C, D), the rows of the classifier's weight; y: (R,)

What remains of the teacher is the relation of its classes (the paper's domain level): the same for all examples of a class. So
it is a teacher of a kind of its own, and no forward of the trained model happens; the model is let go once the weight is read.
Its answers are log rho, for any logit method, best one at temperature 1: `kd_soft`. `kd_pt_sim` combines it with `kd_pt`. The
bias of the classifier plays no part.

We have not had the paper's text at hand: the form is our reading of secondary accounts, and the defaults are ours (with ten
unrelated classes the label has 0.94). Powers of negative cosines are ours, too: `signed` is sign(c)|c|^alpha, `clamp` cuts
them at 0, `shift` takes (1 + c) / 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.labels import hard_label
from kdzoo.models.tap_names import classifier_of
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.roles import Existing, RecipeRef
from kdzoo.protocol.task import Model
from kdzoo.ranges import above
from kdzoo.teachers.frozen import Frozen
from kdzoo_smoothing.class_similarity import Negatives, log_similarity


class KDSim(Frozen):
    """The similarity of classes to a trained model's classifier, as a teacher.

    Args:
        model, checkpoint, recipe, weights: the trained model, as for the `frozen` teacher.
        alpha: power of the cosines, > 0. temperature: of the softmax over them, > 0; both are kdzoo's defaults.
        negatives: what the power is taken of where a cosine is negative.
    """

    log_rho: Tensor

    def __init__(
        self,
        *,
        model: Model | None = None,
        checkpoint: Existing | None = None,
        recipe: RecipeRef | None = None,
        weights: Literal["last", "best"] = "last",
        alpha: float = 1.0,
        temperature: float = 0.2,
        negatives: Negatives = "signed",
    ) -> None:
        above(0, alpha=alpha, temperature=temperature)
        super().__init__(model=model, checkpoint=checkpoint, recipe=recipe, weights=weights)
        self.alpha, self.temperature, self.negatives = alpha, temperature, negatives

    def build(self, run: RunContext) -> None:
        if "classes" not in run.task.capabilities:
            raise CapabilityError(f"teachers.{self.name} needs class labels, which this task does not have.")
        super().build(run)
        assert self.model is not None
        weight, self.model = classifier_of(self.model).weight.detach(), None
        classes = int(run.task.facts()["classes"])
        if len(weight) != classes:
            raise CapabilityError(
                f"teachers.{self.name}: the classifier of the trained model tells {len(weight)} classes apart, the task has "
                f"{classes}; use a model that was trained on this data set."
            )
        log_rho = log_similarity(weight, alpha=self.alpha, temperature=self.temperature, negatives=self.negatives)
        self.register_buffer("log_rho", log_rho)

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        label = hard_label(batch.target)
        known = (label >= 0) & (label < len(self.log_rho))
        rows = self.log_rho[torch.where(known, label, 0)]
        return Output(Rows(torch.where(known.unsqueeze(-1), rows, 0), batch.target))
