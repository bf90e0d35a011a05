"""AB: the student's neurons switch on and off where the teacher's do, before it learns the task.

Heo, Lee, Yun, Choi, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons", AAAI 2019,
arXiv 1811.03233.

    boundary = 3/1000 sum_stages 2^(i - n + 1) mean_b sum_{c, h, w} h^2,   h = relu(m - s) where t > 0, relu(m + s) elsewhere

on maps before the ReLU (B, C, H, W); s is the student's, through a connector (convolution and BatchNorm; nothing where the
shapes agree), m = 1 the margin. Two stages: boundaries for 30 epochs (RepDistiller), then the recipe's other methods (the
labels, or `kd` beside them) with the weight of `boundary` at 0. The factor 3/1000 is the public code's. No deviations.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.functional.connectors import BoundaryConnector
from kdzoo.functional.margins import activation_boundary
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, Stage, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_features.tap_checks import map_pairs, pairs

SCALE = 3 / 1000


class AB(Method):
    """Args: margin: m > 0. boundary_epochs: length of the first stage. student_taps, teacher_taps: maps before their ReLU."""

    def __init__(
        self,
        *,
        margin: float = 1.0,
        boundary_epochs: int = 30,
        student_taps: Sequence[str] = ("stages.preact",),
        teacher_taps: Sequence[str] = ("stages.preact",),
    ) -> None:
        super().__init__()
        above(0, margin=margin)
        at_least(0, boundary_epochs=boundary_epochs)
        self.margin, self.epochs = margin, boundary_epochs
        self.student_taps, self.teacher_taps = student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        self.connectors = nn.ModuleList(BoundaryConnector(s, t) for s, t in map_pairs(self, run))

    def stages(self) -> Sequence[Stage]:
        return (Stage("boundary", self.epochs, {"boundary": 1.0}),) if self.epochs else ()

    @term(weight=0.0)
    def boundary(self, step: Step) -> Tensor:
        loss = step.student.rows.logits.new_zeros(())
        for connect, (student, teacher) in zip(self.connectors, pairs(step), strict=True):
            loss = loss / 2 + activation_boundary(connect(student), teacher, margin=self.margin)
        return SCALE * loss
