"""WTTM: TTM with a weight per sample, larger where the teacher's powered probabilities are flatter.

Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024 (arXiv 2402.11148).

    wttm = mean_r u_r KL(q_r || softmax(z_s)_r)        u = sum_c p_t^power, q = p_t^power / u        z: (R, C)

The weights are not normalized over the batch. In the authors' examples: power 0.2 and weight 4 together with CRD (0.8), the
defaults here; weights differ by pair. No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.row_mean import row_mean
from kdzoo.functional.transformed_teacher import flatness, transformed_kl_rows
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above


class WTTM(Method):
    """Args: power: exponent of the teacher's probabilities, > 0."""

    def __init__(self, *, power: float = 0.2) -> None:
        super().__init__()
        above(0, power=power)
        self.power = power

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term(weight=4.0)
    def wttm(self, step: Step) -> Tensor:
        rows, teacher = step.student.rows, step.teacher.rows.logits
        gaps = transformed_kl_rows(rows.logits, teacher, power=self.power)
        return row_mean(flatness(teacher, power=self.power) * gaps, rows.weight)
