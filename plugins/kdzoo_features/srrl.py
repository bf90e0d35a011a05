"""SRRL: the student's representation should mean the same to the teacher's own classifier.

Yang, Martinez, Bulat, Tzimiropoulos, "Knowledge Distillation via Softmax Regression Representation Learning", ICLR 2021.

    features = mean (pool r(F_s) - pool F_t)^2          r: 1x1 convolution, BatchNorm, ReLU: (B, C_s, H, W) -> (B, C_t, H, W)
    softmax  = mean (W_t pool r(F_s) + b_t - z_t)^2     W_t, b_t: the teacher's classifier, frozen; z_t: (B, K)

In practice: the maps that the classifiers pool (`classified`), both weights 1, beside the labels' loss. The connector and the
copied classifier are dropped after training. No deviations.
"""

from __future__ import annotations

from math import sqrt

import torch.nn.functional as F
from torch import Tensor, nn

from kdzoo.functional.connectors import RectifiedConnector
from kdzoo.functional.features import mean_squared_error, pooled
from kdzoo.models.tap_names import CLASSIFIED
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import map_pairs, pairs, teacher_classifier


class SRRL(Method):
    """Args: student_tap, teacher_tap: maps; the teacher's is the one that it pools for its classifier."""

    def __init__(self, *, student_tap: str = CLASSIFIED, teacher_tap: str = CLASSIFIED) -> None:
        super().__init__()
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, rows=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        for name, value in teacher_classifier(self, run, channels=teacher[0], tap=self.teacher_tap).items():
            self.register_buffer(name, value)
        self.connector = RectifiedConnector(student[0], teacher[0])
        nn.init.normal_(next(self.connector.parameters()), std=sqrt(2 / teacher[0]))  # as the authors' connector starts

    def projected(self, step: Step) -> Tensor:
        """The student's pooled vector in the teacher's space, (B, C_t)."""
        return step.cached("projected", lambda: pooled(self.connector(pairs(step)[0][0])))

    @term()
    def features(self, step: Step) -> Tensor:
        return mean_squared_error(self.projected(step), pooled(pairs(step)[0][1]))

    @term()
    def softmax(self, step: Step) -> Tensor:
        logits = F.linear(self.projected(step), self.get_buffer("weight"), self.get_buffer("bias"))
        return mean_squared_error(logits, step.teacher.rows.logits)
