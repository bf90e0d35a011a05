"""TTM: the teacher's probabilities, raised to a power, are matched by the student at temperature 1.

Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024 (arXiv 2402.11148).

    ttm = mean_r KL(q_r || softmax(z_s)_r)        q = p_t^power / sum_c p_t^power = softmax(power z_t)        z: (R, C)

The power is 1/T of ordinary KD; leaving the student at T 1 adds a Renyi entropy as regularizer. No factor T^2. The authors'
example for vgg13 to vgg8 on CIFAR-100 is power 0.1 with weight 45, the defaults here; weights differ by pair. No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.row_mean import row_mean
from kdzoo.functional.transformed_teacher import transformed_kl_rows
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above


class TTM(Method):
    """Args: power: exponent of the teacher's probabilities, > 0."""

    def __init__(self, *, power: float = 0.1) -> None:
        super().__init__()
        above(0, power=power)
        self.power = power

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term(weight=45.0)
    def ttm(self, step: Step) -> Tensor:
        rows = step.student.rows
        return row_mean(transformed_kl_rows(rows.logits, step.teacher.rows.logits, power=self.power), rows.weight)
