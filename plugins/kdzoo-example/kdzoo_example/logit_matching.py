"""Logit matching: the student regresses the teacher's logits.

Ba, Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014 (arXiv 1312.6184).

    logit_matching = mean_r 1/2 |z_s - z_t|^2        z_s, z_t: (R, C)

The paper trains on this term alone, without labels. It is what KD tends to at a high temperature, where both models' logits
have zero mean. No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo import Method, Needs, Step, term
from kdzoo.functional.row_mean import row_mean


def logit_matching(student: Tensor, teacher: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Half the squared distance between logits (R, C), as a mean over the rows."""
    return row_mean((student - teacher).square().sum(1) / 2, weight)


class LogitMatching(Method):
    """The student regresses the teacher's logits. There are no hyper-parameters."""

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def logit_matching(self, step: Step) -> Tensor:
        rows = step.student.rows
        return logit_matching(rows.logits, step.teacher.rows.logits, weight=rows.weight)
