"""PKT: each sample's neighbors are as probable for the student as for the teacher.

Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv 1803.10837.

    pkt = mean_{ij} p_t(j | i) log(p_t(j | i) / p_s(j | i)),   p(j | i) ~ (1 + cos(x_i, x_j)) / 2

of embeddings (B, d); widths may differ. The mean over B^2 pairs (not the sum over j) is the reference code's and explains the
usual weight of 30000 (RepDistiller, CIFAR-100, the pooled vector). No deviations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from kdzoo.functional.relations import probability_transfer
from kdzoo.method import Method, Needs, term
from kdzoo.outputs import Step
from kdzoo_features.checks import pairs, several_samples

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


class PKT(Method):
    """Args: student_tap, teacher_tap: embeddings; maps are flattened."""

    def __init__(self, *, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__()
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True)

    def setup(self, run: Run) -> None:
        several_samples(self, run)

    @term(weight=30000.0)
    def pkt(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return probability_transfer(student.flatten(1), teacher.flatten(1))
