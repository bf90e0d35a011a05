"""Soft MSE: the squared gap between softened probabilities, as the released code of MetaDistil distills on texts.

Zhou, Xu, McAuley, "BERT Learns to Teach: Knowledge Distillation with Meta Learning", ACL 2022, arXiv 2106.04570 (its code,
`nlp/`).

    soft_mse = T^2 mean over rows and classes of (softmax(z_t / T) - softmax(z_s / T))^2        z: (R, C)

The code sets T 5 and half the weight, with half for the labels. The mean over classes makes the loss C times smaller than a
sum would, and with one logit (a regression) it is 0 for every student: use `logit_mse` there.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.logit_gaps import soft_mse
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above


class SoftMSE(Method):
    """Args: temperature: T > 0; 5 in the released code."""

    def __init__(self, *, temperature: float = 5.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature = temperature

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def soft_mse(self, step: Step) -> Tensor:
        rows = step.student.rows
        return soft_mse(rows.logits, step.teacher.rows.logits, temperature=self.temperature, weight=rows.weight)
