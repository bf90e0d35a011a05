"""SKD: predictions per sample, and the directions of the logits in a batch, compared in a whitened space.

Jeong, Lee, Choi, "Streamlined Knowledge Distillation", CVPR 2026.

    instance  = T^2 mean_i KL(softmax(z_t / T) || softmax(z_s / T))                                     z: (B, C)
    direction = mean_i sqrt(d_i' (cov(D) + tikhonov I)^-1 d_i)        D = (Z_s Z_s' - Z_t Z_t') / C: (B, B), Z: unit rows of z

d_i are the rows of D, and cov(D) is the covariance of its columns. In the released code: T 4, tikhonov 0.1, labels at 0.1 and
both terms at 0.9 (0.5 each for resnet32x4 -> resnet8x4), rate 0.1.

Followed as released, since the numbers come from that code: the division by C, and a "half" mask of the samples (instance) and
of the classes (direction) that the teacher is least sure of, which is applied to a mean and so only scales it by the share
that it keeps, as in MLKD. torchdistill's version has neither, nor T^2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.features import gram, length, unit
from kdzoo.functional.float32 import in_float32
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_logits.mlkd import unsure_classes, unsure_samples


@in_float32
def direction_gap(student: Tensor, teacher: Tensor, *, tikhonov: float = 0.1) -> Tensor:
    """Mean Mahalanobis length of the rows of `(Z_s Z_s' - Z_t Z_t') / C`, Z the unit rows of logits (B, C), B >= 2."""
    gap = (gram(unit(student)) - gram(unit(teacher))) / student.shape[-1]
    centered = gap - gap.mean(0)
    covariance = centered.mT @ centered / (len(gap) - 1)
    factor = torch.linalg.cholesky(covariance + tikhonov * torch.eye(len(gap), dtype=gap.dtype, device=gap.device))
    # |L^-1 d|^2 = d' (L L')^-1 d
    return length(torch.linalg.solve_triangular(factor, gap.mT, upper=False), 0).mean()


class SKD(Method):
    """Args: temperature: T > 0 of `instance`. tikhonov: added to the covariance's diagonal, > 0."""

    def __init__(self, *, temperature: float = 4.0, tikhonov: float = 0.1) -> None:
        super().__init__()
        above(0, temperature=temperature, tikhonov=tikhonov)
        self.temperature, self.tikhonov = temperature, tikhonov

    def needs(self) -> Needs:
        return Needs(teacher=True, whole_batch=True, capabilities=frozenset({"classes"}))

    @term(weight=0.9)
    def instance(self, step: Step) -> Tensor:
        rows, teacher = step.student.rows, step.teacher.rows.logits
        kept = unsure_samples(teacher).to(rows.logits.dtype).mean()
        return kept * softened_kl(rows.logits, teacher, temperature=self.temperature, weight=rows.weight)

    @term(weight=0.9)
    def direction(self, step: Step) -> Tensor:
        student, teacher = step.student.rows.logits, step.teacher.rows.logits
        kept = unsure_classes(teacher).to(student.dtype).mean()
        return kept * direction_gap(student, teacher, tikhonov=self.tikhonov)
