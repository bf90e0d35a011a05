"""MGD: from a masked map of its own, the student has to generate the teacher's whole one.

Yang, Li, Shao, Shi, Yuan, Yuan, "Masked Generative Distillation", ECCV 2022, arXiv 2205.01529.

    mgd = mean_b sum_{c, h, w} (G(M * A(F_s)) - F_t)^2      A: 1x1 convolution (B, C_s, H, W) -> (B, C_t, H, W), if needed

G is two 3x3 convolutions with ReLU between; M drops each channel of a sample with probability `ratio`, without rescaling
(the classification variant; detection masks positions). In practice: the last map, ratio 0.15, weight 7e-5 on ImageNet and
1.2e-3 on CIFAR-100, beside the labels' loss. No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.channels import generated_gap
from kdzoo.functional.connectors import MaskedGenerator
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least_and_below
from kdzoo_features.tap_checks import map_pairs, pairs


class MGD(Method):
    """Args: ratio: probability that a channel is masked. student_tap, teacher_tap: maps."""

    def __init__(self, *, ratio: float = 0.15, student_tap: str = "last", teacher_tap: str = "last") -> None:
        super().__init__()
        at_least_and_below(0, 1, ratio=ratio)
        self.ratio, self.student_tap, self.teacher_tap = ratio, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        self.generator = MaskedGenerator(student[0], teacher[0])

    @term(weight=7e-5)
    def mgd(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        keep = step.uniform("mask", teacher.shape[1]) >= self.ratio
        return generated_gap(self.generator(student, keep[:, :, None, None].to(student.dtype)), teacher)
