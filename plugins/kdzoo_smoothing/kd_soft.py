"""KD-soft: the cross-entropy between the teacher's answer and the student's, without the factor T^2.

Shen, Liu, Xu, Chen, Cheng, Savvides, "Is Label Smoothing Truly Incompatible with Knowledge Distillation: An Empirical Study",
ICLR 2021 (arXiv 2104.00676).

    kd_soft = -mean_r sum_c q_c log p_c        q = softmax(z_t / T), p = softmax(z_s / T_s): (R, C)

The paper's objective is this term alone at T = T_s = 1: no hard labels, so leave `hard_label` out. At T = 1 it differs from
`kd` by the teacher's entropy, which has no gradient, so the two train alike; the values differ, and a smoothed teacher raises
this one. Mueller, Kornblith and Hinton 2019 do not divide the student by T: `student_temperature: 1`. With target transforms
it is the loss of Tang et al. 2020: `kd_soft: {logits: [kd_pt]}`. The default weight is 1. No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.divergence import soft_cross_entropy
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above


class KDSoft(Method):
    """Args: temperature: T > 0 of the teacher; 1 in the paper. student_temperature: T_s > 0; null is T."""

    def __init__(self, *, temperature: float = 1.0, student_temperature: float | None = None) -> None:
        super().__init__()
        above(0, temperature=temperature, student_temperature=student_temperature)
        self.temperature, self.student_temperature = temperature, student_temperature

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def kd_soft(self, step: Step) -> Tensor:
        rows, own = step.student.rows, self.student_temperature or self.temperature
        return soft_cross_entropy(rows.logits / own, step.teacher.rows.logits / self.temperature, weight=rows.weight)
