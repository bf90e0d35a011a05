"""Logit MSE: the squared gap between logits, which serves classes and a single predicted score alike.

Ba, Caruana, "Do Deep Nets Really Need to be Deep?", NeurIPS 2014, arXiv 1312.6184.

    logit_mse = mean over rows and classes of (z_t - z_s)^2        z: (R, C)
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.logit_gaps import logit_mse
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step


class LogitMSE(Method):
    """No settings but the weight."""

    def needs(self) -> Needs:
        return Needs(teacher=True, numbers=True)

    @term()
    def logit_mse(self, step: Step) -> Tensor:
        rows = step.student.rows
        return logit_mse(rows.logits, step.teacher.rows.logits, weight=rows.weight)
