"""ReviewKD: each level of the student, fused with all deeper ones, imitates the teacher's level at several scales.

Chen, Liu, Zhao, Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044.

    review = sum_levels HCL(A_i, F_t,i),   A_i = ABF_i(F_s,i, A_{i+1}): (B, C_i, H_i, W_i)
    HCL    = (MSE at full size + 1/2, 1/4, 1/8 of the MSE pooled to 4, 2, 1 positions a side) / the weights' sum

from the deepest level (the pooled vector as a 1x1 map) to the shallowest; ABF reduces to min(512, deepest) channels, adds the
fused map by learned attention and expands to the teacher's channels. Teacher maps are taken before the ReLU, the student's
after it (the CIFAR setting). In practice: weight 5 for resnet32x4 -> resnet8x4 and the WRN pairs, 0.6 for resnet56 ->
resnet20, 1 for resnet110 -> resnet32; it warms up over 20 epochs, which a recipe says as
`schedules: {methods.review_kd.weights.review: {use: warmup, until: 20}}`. No deviations.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.functional.connectors import AttentionFusion
from kdzoo.functional.review import hierarchical_context
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import pairs, shape_pairs

WIDEST = 512


def as_map(x: Tensor) -> Tensor:
    """A vector (B, C) as the map (B, C, 1, 1); maps pass through."""
    return x[:, :, None, None] if x.ndim == 2 else x


class ReviewKD(Method):
    """Args: student_taps, teacher_taps: levels from shallow to deep, paired in order; vectors count as 1x1 maps."""

    def __init__(
        self,
        *,
        student_taps: Sequence[str] = ("stages", "pooled"),
        teacher_taps: Sequence[str] = ("stages.preact", "pooled"),
    ) -> None:
        super().__init__()
        self.student_taps, self.teacher_taps = student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(teacher=True, aligned=False, student_taps=self.student_taps, teacher_taps=self.teacher_taps)

    def setup(self, run: RunContext) -> None:
        deepest_first = [(s[0], t[0]) for s, t in reversed(shape_pairs(self, run))]
        width = min(WIDEST, deepest_first[0][0])
        blocks = [AttentionFusion(s, width, t, fuse=level > 0) for level, (s, t) in enumerate(deepest_first)]
        self.blocks = nn.ModuleList(blocks)

    @term()
    def review(self, step: Step) -> Tensor:
        losses: list[Tensor] = []
        fused: Tensor | None = None
        for block, (student, teacher) in zip(self.blocks, reversed(pairs(step)), strict=True):
            target = as_map(teacher)
            shown, fused = block(as_map(student), fused, (target.shape[-2], target.shape[-1]))
            losses.append(hierarchical_context(shown, target))
        return sum(losses[1:], losses[0])
