"""FSP: the student first learns how the teacher's features flow from layer to layer, then the task.

Yim, Joo, Bae, Kim, "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning",
CVPR 2017.

    flow = sum_pairs mean (G_s - G_t)^2,   G = F_i F_{i+1}^T / (H W): (B, C_i, C_{i+1})

for adjacent taps; the larger map of two is average-pooled. Channels must agree between student and teacher. Two stages: the
flow alone for 30 epochs (RepDistiller), then the other methods of the recipe (the labels) alone: the weight of `flow` is 0
in the main stage.

As in RepDistiller the maps are stem and stages; torchdistill pools the larger map by its maxima instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.features import mean_squared_error
from kdzoo.functional.flow import flow_matrix
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, Stage, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_features.tap_checks import equal_channels


class FSP(Method):
    """Args: flow_epochs: length of the first stage. student_taps, teacher_taps: maps in forward order, two or more."""

    def __init__(
        self,
        *,
        flow_epochs: int = 30,
        student_taps: Sequence[str] = ("stem", "stages"),
        teacher_taps: Sequence[str] = ("stem", "stages"),
    ) -> None:
        super().__init__()
        at_least(0, flow_epochs=flow_epochs)
        self.epochs, self.student_taps, self.teacher_taps = flow_epochs, student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        found = equal_channels(self, run, why="compares products of channels", instead="use nst or vid, which do not need that")
        if len(found) < 2:
            raise CapabilityError(
                f"methods.{self.label} compares the flow between adjacent maps, but there is only {len(found)}; "
                f"name two or more in methods.{self.label}.student_taps and teacher_taps."
            )

    def stages(self) -> Sequence[Stage]:
        return (Stage("flow", self.epochs, {"flow": 1.0}, trains=("student.*",)),) if self.epochs else ()

    @term(weight=0.0)
    def flow(self, step: Step) -> Tensor:
        student = [flow_matrix(*pair) for pair in pairwise(step.student.features.values())]
        teacher = [flow_matrix(*pair) for pair in pairwise(step.teacher.features.values())]
        losses = [mean_squared_error(s, t) for s, t in zip(student, teacher, strict=True)]
        return sum(losses[1:], losses[0])
