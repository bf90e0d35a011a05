"""SP: samples that look alike to the teacher look alike to the student.

Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv 1907.09682.

    sp = ||G_s - G_t||_F^2 / B^2,   G = row-normalized Q Q^T: (B, B),   Q: the flattened map (B, C*H*W)

Shapes may differ in everything but the batch. In practice: the last map, weight 3000 at batch 64 on CIFAR-100 (RepDistiller);
the division by B^2 makes the weight depend on the batch size. No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.relations import similarity_preserving
from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo_features.relational import Relational


class SP(Relational):
    """Args: student_tap, teacher_tap: features of any shape."""

    def __init__(self, *, student_tap: str = "last", teacher_tap: str = "last") -> None:
        super().__init__(student_tap=student_tap, teacher_tap=teacher_tap)

    @term(weight=3000.0)
    def sp(self, step: Step) -> Tensor:
        return similarity_preserving(*self.flat(step))
