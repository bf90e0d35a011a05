"""SDD: KD on the logits of many image regions, with more weight where a region and the whole image disagree.

Wei, Luo, Luo, "Scale Decoupled Distillation", CVPR 2024, arXiv 2403.13512.

    sdd = 1 / (B N) sum_{i, n} w_{i n} T^2 KL(softmax(z_t[i, :, n] / T) || softmax(z_s[i, :, n] / T))
    w = 1 where the teacher is right (or wrong) on the region as on the whole image, 2 where not        z: (B, C, N), y: (B,)

Region 0 is the whole image. Regions are the cells of 1 x 1, 2 x 2 and 4 x 4 average poolings of the last feature map, and a
region's logits are the model's own classifier on the pooled cell: N = 21. As a linear classifier and a mean may change places,
they are the cells of the pooled class maps; so the student is the model `class_maps`, as in CAT-KD (`student: {use: class_maps,
base: {use: resnet8x4}}`), whose tap `class_maps` the method reads, and the teacher's maps come from its classifier.

In the authors' code: T 4, weight 0.9 beside the labels' loss at 0.1 (CIFAR-100); their tables also have DKD and NKD in the
place of KD. Deviation: each pooling is of the map itself, in their code the coarser two of the 4 x 4 one, which is the same
for maps of 4, 8, 16, ... positions a side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.class_maps import class_maps
from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.row_mean import row_mean
from kdzoo.models.tap_names import CLASSIFIED
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_features.tap_checks import map_pairs, pairs, teacher_classifier


def regions(maps: Tensor, scales: Sequence[int] = (1, 2, 4)) -> Tensor:
    """Logits of each region, (B, C, N) with N the sum of the squared scales, from class maps (B, C, H, W)."""
    return torch.cat([F.adaptive_avg_pool2d(maps, side).flatten(2) for side in scales], 2)


def region_weights(teacher: Tensor, target: Tensor) -> Tensor:
    """1 for a region where the teacher is as right as on region 0, else 2: logits (B, C, N), target (B,) to (B, N)."""
    right = teacher.argmax(1) == hard_label(target).unsqueeze(-1)
    return 1 + (right != right[:, :1]).to(teacher.dtype)


@in_float32
def region_kl(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None
) -> Tensor:
    """`T^2` times the weighted mean KL over samples and regions: logits (B, C, N), target (B,)."""
    log_s, log_t = ((z / temperature).log_softmax(1).mT for z in (student, teacher))
    rows = (region_weights(teacher, target) * kl_rows(log_s, log_t)).mean(-1)
    return temperature**2 * row_mean(rows, weight)


class SDD(Method):
    """Args: temperature: T > 0. scales: regions a side of each pooling, the whole image first. teacher_tap: the map that the
    teacher pools."""

    def __init__(self, *, temperature: float = 4.0, scales: Sequence[int] = (1, 2, 4), teacher_tap: str = CLASSIFIED) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(1, scales=scales)
        if not scales or scales[0] != 1:
            raise ValueError(f"scales must begin with 1, the whole image, got {list(scales)}")
        self.temperature, self.scales, self.teacher_tap = temperature, tuple(scales), teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, rows=False, student_taps=("class_maps",), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (_, teacher), *_ = map_pairs(self, run)
        for name, value in teacher_classifier(self, run, channels=teacher[0], tap=self.teacher_tap).items():
            self.register_buffer(name, value)

    @term(weight=0.9, over=LABELS)
    def sdd(self, step: Step) -> Tensor:
        rows, (student, teacher) = step.student.rows, pairs(step)[0]
        if rows.target is None:
            raise CapabilityError(f"methods.{step.label} needs labels, but this task's rows have none.")
        teacher = class_maps(teacher, self.get_buffer("weight"), self.get_buffer("bias"))
        both = regions(student, self.scales), regions(teacher, self.scales)
        return region_kl(*both, rows.target, temperature=self.temperature, weight=rows.weight_of_labels)
