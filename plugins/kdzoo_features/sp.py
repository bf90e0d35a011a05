"""SP: samples that look alike to the teacher look alike to the student.

Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv 1907.09682.

    sp = ||G_s - G_t||_F^2 / B^2,   G = row-normalized Q Q^T: (B, B),   Q: the flattened map (B, C*H*W)

Shapes may differ in everything but the batch. In practice: the last map, weight 3000 at batch 64 on CIFAR-100 (RepDistiller);
the division by B^2 makes the weight depend on the batch size. No deviations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from kdzoo.functional.relations import similarity_preserving
from kdzoo.method import Method, Needs, term
from kdzoo.outputs import Step
from kdzoo_features.checks import pairs, several_samples

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


class SP(Method):
    """Args: student_tap, teacher_tap: features of any shape."""

    def __init__(self, *, student_tap: str = "last", teacher_tap: str = "last") -> None:
        super().__init__()
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True)

    def setup(self, run: Run) -> None:
        several_samples(self, run)

    @term(weight=3000.0)
    def sp(self, step: Step) -> Tensor:
        return similarity_preserving(*pairs(step)[0])
