"""ICKD: the student's channels relate to each other as the teacher's do.

Liu, Huang, Lin, Xie, Wang, Chang, Liang, "Exploring Inter-Channel Correlation for Diversity-preserved Knowledge
Distillation", ICCV 2021, arXiv 2202.03680.

    ickd = mean_{b, c} ||G_s - G_t||^2,   G = row-normalized F F^T: (B, C, C),   F: (B, C, H*W)

The student's map goes through a 1x1 convolution and BatchNorm to the teacher's channels. In practice: the last map, weight
2.5 on CIFAR-100 (ICKD-C), with or without `kd`. No deviations from the authors' CIFAR code.
"""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.functional.channels import channel_correlation
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import map_pairs, pairs


class ICKD(Method):
    """Args: student_tap, teacher_tap: maps."""

    def __init__(self, *, student_tap: str = "last", teacher_tap: str = "last") -> None:
        super().__init__()
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        convolution = nn.Conv2d(student[0], teacher[0], 1, bias=False)  # starts as torch starts it, unlike OFD's
        self.connector = nn.Sequential(convolution, nn.BatchNorm2d(teacher[0]))

    @term(weight=2.5)
    def ickd(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return channel_correlation(self.connector(student), teacher)
