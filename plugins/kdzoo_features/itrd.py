"""ITRD: the student's representation correlates with the teacher's, and keeps what both share.

Miles, Lopez Rodriguez, Mikolajczyk, "Information Theoretic Representation Distillation", BMVC 2022, arXiv 2112.00459.

    correlation = log2 sum_c |1 - rho_c|^(2 alpha)                            rho_c: correlation over the batch of column c
    mutual      = sum (G_s / tr G_s)^2 - sum (G_st / tr G_st)^2               G = Y Y^T: (B, B), unit rows; G_st = G_s * G_t

of pooled vectors (B, d); the student's goes through a linear map to the teacher's width (in the second term only if widths
differ). In practice: alpha 1.5, weights 2 and 1. No deviations from the authors' code.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from kdzoo.functional.information import correlation_information, mutual_information
from kdzoo.method import Method, Needs, term
from kdzoo.outputs import Step
from kdzoo_features.checks import pairs, positive, several_samples, shape_pairs

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


class ITRD(Method):
    """Args: alpha: order of the correlation term. student_tap, teacher_tap: features; maps are flattened."""

    def __init__(self, *, alpha: float = 1.5, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__()
        positive(alpha=alpha)
        self.alpha, self.student_tap, self.teacher_tap = alpha, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True)

    def setup(self, run: Run) -> None:
        several_samples(self, run)
        (student, teacher), *_ = shape_pairs(self, run)
        self.embed = nn.Linear(prod(student), prod(teacher))

    @term(weight=2.0)
    def correlation(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return correlation_information(self.embed(student.flatten(1)), teacher.flatten(1), alpha=self.alpha)

    @term(weight=1.0)
    def mutual(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        flat = student.flatten(1)
        same = self.embed.in_features == self.embed.out_features
        return mutual_information(flat if same else self.embed(flat), teacher.flatten(1))
