"""ITRD: the student's representation correlates with the teacher's, and keeps what both share.

Miles, Lopez Rodriguez, Mikolajczyk, "Information Theoretic Representation Distillation", BMVC 2022, arXiv 2112.00459.

    correlation = log2 sum_c |1 - rho_c|^(2 alpha)                            rho_c: correlation over the batch of column c
    mutual      = sum (G_s / tr G_s)^2 - sum (G_st / tr G_st)^2               G = Y Y^T: (B, B), unit rows; G_st = G_s * G_t

of pooled vectors (B, d); the student's goes through a linear map to the teacher's width (in the second term only if widths
differ). In practice: alpha 1.5, weights 2 and 1. No deviations from the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.functional.information import correlation_information, mutual_information
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_features.relational import Relational


class ITRD(Relational):
    """Args: alpha: order of the correlation term. student_tap, teacher_tap: features; maps are flattened."""

    def __init__(self, *, alpha: float = 1.5, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__(student_tap=student_tap, teacher_tap=teacher_tap)
        above(0, alpha=alpha)
        self.alpha = alpha

    def setup(self, run: RunContext) -> None:
        super().setup(run)
        self.embed = nn.Linear(*self.widths(run))

    @term(weight=2.0)
    def correlation(self, step: Step) -> Tensor:
        student, teacher = self.flat(step)
        return correlation_information(self.embed(student), teacher, alpha=self.alpha)

    @term(weight=1.0)
    def mutual(self, step: Step) -> Tensor:
        student, teacher = self.flat(step)
        same = self.embed.in_features == self.embed.out_features
        return mutual_information(student if same else self.embed(student), teacher)
