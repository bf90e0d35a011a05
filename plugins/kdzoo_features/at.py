"""AT: the student looks where the teacher looks.

Zagoruyko, Komodakis, "Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks via
Attention Transfer", ICLR 2017, arXiv 1612.03928.

    at = sum_stages mean_{b, hw} (Q_s - Q_t)^2,   Q = vec(mean_c |F_c|^p) / ||vec(mean_c |F_c|^p)||      F: (B, C, H, W)

Channels may differ; the larger map of a pair is average-pooled to the smaller one. In practice: p = 2, all stages, weight
1000 on CIFAR-100 (RepDistiller, mdistiller) and ImageNet, added to the labels' loss.

Deviation: the paper's equation has the distance itself, not its mean square over positions; the authors' code and every
table use the latter. The former is `kdzoo.functional.attention.attention_transfer_norm`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.functional.attention import attention_transfer
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_features.tap_checks import map_pairs, pairs


class AT(Method):
    """Args: power: p > 0. student_taps, teacher_taps: maps, paired in order."""

    def __init__(
        self,
        *,
        power: float = 2.0,
        student_taps: Sequence[str] = ("stages",),
        teacher_taps: Sequence[str] = ("stages",),
    ) -> None:
        super().__init__()
        above(0, power=power)
        self.power, self.student_taps, self.teacher_taps = power, student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        map_pairs(self, run)

    @term(weight=1000.0)
    def at(self, step: Step) -> Tensor:
        losses = [attention_transfer(s, t, power=self.power) for s, t in pairs(step)]
        return sum(losses[1:], losses[0])
