"""CWD: each channel is active in the same places, as a distribution over positions.

Shu, Liu, Gao, Yan, Shen, "Channel-wise Knowledge Distillation for Dense Prediction", ICCV 2021, arXiv 2011.13256.

    cwd = T^2 mean_{b, c} KL(softmax_hw(F_t / T) || softmax_hw(F_s / T))      F: (B, C, H, W)

A student of other channels goes through a 1x1 convolution. Made for segmentation, on the logit maps: T 1 and weight 5 in
mmrazor's Cityscapes configuration, hence the defaults. For classification it runs on the last map, with T 1 kept.
Deviation: maps of unequal size are average-pooled to the smaller one.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.channels import channel_distribution
from kdzoo.functional.connectors import alignment
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_features.tap_checks import map_pairs, pairs


class CWD(Method):
    """Args: temperature: T > 0. student_tap, teacher_tap: maps."""

    def __init__(self, *, temperature: float = 1.0, student_tap: str = "last", teacher_tap: str = "last") -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature, self.student_tap, self.teacher_tap = temperature, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        self.align = alignment(student[0], teacher[0])

    @term(weight=5.0)
    def cwd(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return channel_distribution(self.align(student), teacher, temperature=self.temperature)
