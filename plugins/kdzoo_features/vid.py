"""VID: the student's maps tell as much as they can about the teacher's, by a variational lower bound.

Ahn, Hu, Damianou, Lawrence, Dai, "Variational Information Distillation for Knowledge Transfer", CVPR 2019, arXiv 1904.05835.

    vid = sum_stages mean [(mu(F_s) - F_t)^2 / var_c + log var_c] / 2,   var_c = softplus(a_c) + 1e-5     F_t: (B, C, H, W)

mu is three 1x1 convolutions with ReLU between, of the teacher's width; a (C,) starts at a variance of 5. Both train with the
student. In practice: all stages, weight 1 (RepDistiller). The larger map of a pair is average-pooled. No deviations (in
mdistiller the variances never train, since its optimizer does not hold them).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.functional.connectors import VariationalHead
from kdzoo.functional.features import same_size
from kdzoo.functional.information import variational_information
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_features.tap_checks import map_pairs, pairs


class VID(Method):
    """Args: initial_variance: where the variances start. student_taps, teacher_taps: maps, paired in order."""

    def __init__(
        self,
        *,
        initial_variance: float = 5.0,
        student_taps: Sequence[str] = ("stages",),
        teacher_taps: Sequence[str] = ("stages",),
    ) -> None:
        super().__init__()
        above(0, initial_variance=initial_variance)
        self._initial, self.student_taps, self.teacher_taps = initial_variance, student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        channels = [(s[0], t[0]) for s, t in map_pairs(self, run)]
        self.heads = nn.ModuleList(VariationalHead(s, t, initial=self._initial) for s, t in channels)

    @term()
    def vid(self, step: Step) -> Tensor:
        losses = []
        for head, (student, teacher) in zip(self.heads, pairs(step), strict=True):
            student, teacher = same_size(student, teacher)
            mean, log_scale = head(student)
            losses.append(variational_information(mean, teacher, log_scale))
        return sum(losses[1:], losses[0])
