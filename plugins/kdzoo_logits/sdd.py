"""SDD: KD on the logits of many image regions, with more weight where a region and the whole image disagree.

Wei, Luo, Luo, "Scale Decoupled Distillation", CVPR 2024 (arXiv 2403.13512).

    sdd = 1 / (B N) sum_{i, n} w_{i n} T^2 KL(softmax(z_t[i, :, n] / T) || softmax(z_s[i, :, n] / T))
    w = 1 where the teacher is right (or wrong) on the region as on the whole image, 2 where not        z: (B, C, N), y: (B,)

Region 0 is the whole image. Regions are the cells of 1 x 1, 2 x 2 and 4 x 4 average poolings of the last feature map, and a
region's logits are the model's own classifier on the pooled cell: N = 21. Here as a pure function, for models that give such
logits.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.labels import hard_label
from kdzoo.functional.precision import in_float32
from kdzoo.functional.rows import row_mean


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
