"""FitNets: the student's middle layer first learns to predict the teacher's, then the whole student learns the task.

Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550.

    hint = mean (r(F_s) - F_t)^2,   r: a convolution, BatchNorm and ReLU from (B, C_s, H_s, W_s) to (B, C_t, H_t, W_t)

`FitNets` has the paper's two stages: the hint alone trains the student up to the tap and the regressor, then the recipe's
other methods (the paper: labels and `kd`) train all of it, with the weight of `hint` at 0. `FitNetsJoint` is what
RepDistiller and mdistiller run under this name: one stage, in which the regressor (its own parameters) trains beside the
student, at weight 100 beside the labels' loss.

In practice: the tap `stage2` (RepDistiller's hint layer 2). Deviation: the paper trains the hint stage to convergence on a
validation set; here it has a fixed length, 30 epochs like the other two-stage methods of RepDistiller.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.functional.connectors import HintRegressor
from kdzoo.functional.features import mean_squared_error
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, Stage, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_features.tap_checks import map_pairs, pairs


class FitNets(Method):
    """Args: hint_epochs: length of the hint stage. student_tap, teacher_tap: the guided and the hint layer."""

    def __init__(self, *, hint_epochs: int = 30, student_tap: str = "stage2", teacher_tap: str = "stage2") -> None:
        super().__init__()
        at_least(0, hint_epochs=hint_epochs)
        self.epochs, self.student_tap, self.teacher_tap = hint_epochs, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        self.regressor = HintRegressor(*map_pairs(self, run)[0])

    def stages(self) -> Sequence[Stage]:
        return (Stage("hint", self.epochs, {"hint": 1.0}),) if self.epochs else ()

    @term(weight=0.0)
    def hint(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return mean_squared_error(self.regressor(student), teacher)


class FitNetsJoint(Method):
    """Args: student_tap, teacher_tap: the guided and the hint layer."""

    def __init__(self, *, student_tap: str = "stage2", teacher_tap: str = "stage2") -> None:
        super().__init__()
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        self.regressor = HintRegressor(*map_pairs(self, run)[0])

    @term(weight=100.0)
    def hint(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return mean_squared_error(self.regressor(student), teacher)
