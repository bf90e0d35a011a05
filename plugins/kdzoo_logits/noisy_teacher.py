"""Noisy teacher: the teacher's logits are multiplied by noise, for some of the samples.

Sau, Balasubramanian, "Deep Model Compression: Distilling Knowledge from Noisy Teachers", 2016 (arXiv 1610.09650).

    z_t' = z_t (1 + sqrt(variance) xi), xi ~ N(0, 1) per logit, with probability alpha; else z_t' = z_t        z_t: (R, C)

A transform of one method's logits: `kd: {logits: [noisy_teacher]}`; the student's stay. The noise is drawn anew each epoch and
belongs to the sample. Defaults of KD_Lib, from which the form is: alpha 0.5, variance 0.1.

Deviation: alpha decides per sample and not per batch, so that splitting a batch changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.method import Transform
from kdzoo.protocol.outputs import Pair, Step
from kdzoo.ranges import at_least, between

HALF = 2.0**-25  # half the spacing of the uniform numbers: 0 and 1 have no normal quantile


def noisy(logits: Tensor, uniform: Tensor, *, alpha: float = 0.5, variance: float = 0.1) -> Tensor:
    """(R, C) logits with noise; `uniform` (R, 1 + C) in [0, 1) decides which rows, and how much."""
    normal = torch.special.ndtri(uniform[:, 1:].double() + HALF).to(logits.dtype)
    return torch.where(uniform[:, :1] < alpha, logits * (1 + variance**0.5 * normal), logits)


class NoisyTeacher(Transform):
    """Args: alpha: probability that a sample gets noise, 0 to 1. variance: of the noise, >= 0."""

    changes = frozenset({"teacher"})

    def __init__(self, *, alpha: float = 0.5, variance: float = 0.1) -> None:
        super().__init__()
        between(0, 1, alpha=alpha)
        at_least(0, variance=variance)
        self.alpha, self.variance = alpha, variance

    def forward(self, pair: Pair, step: Step) -> Pair:
        if pair.teacher is None:
            return pair
        logits = pair.teacher.logits
        uniform = step.uniform("noisy_teacher", 1 + logits.shape[-1])
        if len(uniform) != len(logits):
            raise CapabilityError(
                f"noisy_teacher of methods.{step.label} draws noise per sample, but there are {len(logits)} rows for "
                f"{len(uniform)} samples; use it with a task that has one row per sample."
            )
        changed = noisy(logits, uniform, alpha=self.alpha, variance=self.variance)
        return replace(pair, teacher=replace(pair.teacher, scores=changed))
