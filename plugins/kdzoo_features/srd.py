"""SRD: a linear projection of the student's features meets the teacher's, both normalized over the batch, in a soft maximum.

Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge Distillation", AAAI 2024, arXiv 2303.11098.

    srd = log sum_{b, c} |n(W f_s) - n(f_t)|^4          f: (B, d), pooled; n: (x - mean_b x) / sqrt(var_b x + 1e-4) per column

In the authors' code the total is CE + 2 srd + KL(p_t || p_s) at temperature 1: beside the default weight 2 here, set
`hard_label: {}` and `kd: {temperature: 1}`. ImageNet, ResNet-34 -> ResNet-18: the pooled last map, exponent 4.

Deviation: the sum is kept above 1e-12, where the log would be minus infinity.
"""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.functional.features import FLOOR
from kdzoo.functional.float32 import in_float32
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_features.relational import Relational


def normalized(x: Tensor, *, eps: float = 1e-4) -> Tensor:
    """Columns of (B, d) with mean 0 and variance 1 over the batch, as BatchNorm without scale and shift gives them."""
    return (x - x.mean(0)) / (x.var(0, correction=0) + eps).sqrt()


@in_float32
def log_power_gap(student: Tensor, teacher: Tensor, *, exponent: float = 4.0) -> Tensor:
    """`log sum |n(s) - n(t)|^exponent` over all entries of tensors (B, d)."""
    return (normalized(student) - normalized(teacher)).abs().pow(exponent).sum().clamp_min(FLOOR).log()


class SRD(Relational):
    """Args: exponent: of the gap, > 0. student_tap, teacher_tap: vectors; maps are flattened."""

    def __init__(self, *, exponent: float = 4.0, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__(student_tap=student_tap, teacher_tap=teacher_tap)
        above(0, exponent=exponent)
        self.exponent = exponent

    def setup(self, run: RunContext) -> None:
        super().setup(run)
        self.embed = nn.Linear(*self.widths(run))

    @term(weight=2.0)
    def srd(self, step: Step) -> Tensor:
        student, teacher = self.flat(step)
        return log_power_gap(self.embed(student), teacher, exponent=self.exponent)
