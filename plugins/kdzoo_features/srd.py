"""SRD: a linear projection of the student's features meets the teacher's, both normalized over the batch, in a soft maximum.

Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge Distillation", AAAI 2024, arXiv 2303.11098.

    srd = log sum_{b, c} |n(W f_s) - n(f_t)|^4          f: (B, d), pooled; n: (x - mean_b x) / sqrt(var_b x + 1e-4) per column

In the authors' code the total is CE + 2 srd + KL(p_t || p_s) at temperature 1: beside the default weight 2 here, set
`hard_label: {}` and `kd: {temperature: 1}`. ImageNet, ResNet-34 -> ResNet-18: the pooled last map, exponent 4.

Deviation: the sum is kept above 1e-12, where the log would be minus infinity.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from kdzoo.functional.features import FLOOR
from kdzoo.functional.precision import in_float32
from kdzoo.method import Method, Needs, term
from kdzoo.outputs import Step
from kdzoo_features.checks import pairs, positive, several_samples, shape_pairs

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


def normalized(x: Tensor, *, eps: float = 1e-4) -> Tensor:
    """Columns of (B, d) with mean 0 and variance 1 over the batch, as BatchNorm without scale and shift gives them."""
    return (x - x.mean(0)) / (x.var(0, correction=0) + eps).sqrt()


@in_float32
def log_power_gap(student: Tensor, teacher: Tensor, *, exponent: float = 4.0) -> Tensor:
    """`log sum |n(s) - n(t)|^exponent` over all entries of tensors (B, d)."""
    return (normalized(student) - normalized(teacher)).abs().pow(exponent).sum().clamp_min(FLOOR).log()


class SRD(Method):
    """Args: exponent: of the gap, > 0. student_tap, teacher_tap: vectors; maps are flattened."""

    def __init__(self, *, exponent: float = 4.0, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__()
        positive(exponent=exponent)
        self.exponent, self.student_tap, self.teacher_tap = exponent, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True)

    def setup(self, run: Run) -> None:
        several_samples(self, run)
        (student, teacher), *_ = shape_pairs(self, run)
        self.embed = nn.Linear(prod(student), prod(teacher))

    @term(weight=2.0)
    def srd(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return log_power_gap(self.embed(student.flatten(1)), teacher.flatten(1), exponent=self.exponent)
