"""WKD-F: channels have the teacher's mean and spread, measured by the Wasserstein distance of Gaussians.

Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation", NeurIPS 2024,
arXiv 2412.08139.

    wkd = mean_b sum_c [ratio (mu_s - mu_t)^2 + (sigma_s - sigma_t)^2]      mu, sigma: over the positions of (B, C, H, W)

with sigma^2 the unbiased variance + 1e-5. The student's map goes through a 1x1 convolution, BatchNorm and ReLU to the
teacher's channels; sizes may differ. In practice: the last map, ratio 4, weight 0.08 on CIFAR-100, one grid cell. A map of a
single position has no spread, and only its mean counts.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.channels import channel_moments
from kdzoo.functional.connectors import RectifiedConnector
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_features.tap_checks import map_pairs, pairs


class WKDFeature(Method):
    """Args: ratio: what the means weigh against the deviations. student_tap, teacher_tap: maps."""

    def __init__(self, *, ratio: float = 4.0, student_tap: str = "last", teacher_tap: str = "last") -> None:
        super().__init__()
        at_least(0, ratio=ratio)
        self.ratio, self.student_tap, self.teacher_tap = ratio, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        self.connector = RectifiedConnector(student[0], teacher[0])

    @term(weight=0.08)
    def wkd(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        means, deviations = channel_moments(self.connector(student), teacher, mean_weight=self.ratio)
        return means + deviations
