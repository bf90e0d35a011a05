"""OFD: the overhaul of feature distillation: maps before the ReLU, a margin for what the ReLU drops, a partial distance.

Heo, Kim, Yun, Park, Kwak, Choi, "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv 1904.01866.

    ofd = sum_stages 2^(i - n + 1) mean_b sum_{c, h, w} [s > t' or t' > 0] (s - t')^2,   t' = max(t, m_c)

on maps before the ReLU (B, C, H, W); s is the student's through a 1x1 convolution and BatchNorm, m_c = E[x | x < 0] for a
normal x with the mean and deviation of the teacher's last BatchNorm. The larger map of a pair is average-pooled. In practice:
all stages, weight 1/1000 on CIFAR-100 and 1/10000 on ImageNet, beside the labels' loss.

Deviation: the authors' code leaves the teacher in train mode, so that its BatchNorm uses batch statistics and keeps moving;
here a frozen teacher stays in eval mode, and `teacher: {use: train_mode}` does as they do.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.connectors import PointwiseConnector
from kdzoo.functional.margins import negative_margin, overhaul
from kdzoo.models.tap_names import norm_of
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import map_pairs, pairs


class OFD(Method):
    """Args: student_taps, teacher_taps: maps before their ReLU; the teacher's are stages that name their BatchNorm."""

    def __init__(
        self,
        *,
        student_taps: Sequence[str] = ("stages.preact",),
        teacher_taps: Sequence[str] = ("stages.preact",),
    ) -> None:
        super().__init__()
        self.student_taps, self.teacher_taps = student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        self.connectors = nn.ModuleList(PointwiseConnector(s[0], t[0]) for s, t in map_pairs(self, run))
        teacher = run.model(run.teacher_of(self))
        for number, tap in enumerate(run.tap_keys[self.label, run.teacher_of(self)].values()):
            norm = norm_of(teacher, tap.removesuffix(".preact"))
            if not isinstance(norm, nn.BatchNorm2d) or not norm.affine:
                raise CapabilityError(
                    f"methods.{self.label} reads its margins from the scale and shift of a BatchNorm before tap {tap!r} of the "
                    f"teacher, but found a {type(norm).__name__} without them; choose a teacher with affine BatchNorm."
                )
            self.register_buffer(f"margin{number}", negative_margin(norm.bias.detach(), norm.weight.detach()))

    @term(weight=0.001)
    def ofd(self, step: Step) -> Tensor:
        students, teachers = zip(*pairs(step), strict=True)
        connected = [connector(x) for connector, x in zip(self.connectors, students, strict=True)]
        return overhaul(connected, teachers, [self.get_buffer(f"margin{number}") for number in range(len(connected))])
