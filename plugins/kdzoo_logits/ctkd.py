"""CTKD: KD whose temperature is learned against the student, at a strength that grows by a curriculum.

Li, Li, Yang, Zhao, Song, Luo, Li, Yang, "Curriculum Temperature for Knowledge Distillation", AAAI 2023 (arXiv 2211.16231).

    ctkd = T^2 mean_r KL(softmax(z_t / T) || softmax(z_s / T))        T = start + end sigmoid(theta), theta a scalar, z: (R, C)

theta's gradient is multiplied by lambda(e) <= 0, so theta climbs the loss that the student descends; the student's gradient
is untouched. lambda falls from 0 to -1 over 10 epochs by half a cosine and stays, epochs counted from 1. The authors' global
variant: start 1, end 20, theta 1 at first (T = 15.6); labels 0.1, ctkd 0.9. T^2 is differentiated for theta too, as there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.gradient import scale_gradient
from kdzoo.method import Method, Needs, term
from kdzoo.outputs import Step
from kdzoo_logits.checks import positive


def reversal(epoch: int, *, loops: int = 10, first: float = 0.0, last: float = -1.0) -> float:
    """lambda in this epoch: half a cosine from `first` at epoch 0 to `last` at epoch `loops`, then `last`."""
    return last + (first - last) * (math.cos(math.pi * min(epoch, loops) / loops) + 1) / 2


def learned_temperature(theta: Tensor, *, start: float = 1.0, end: float = 20.0) -> Tensor:
    """`start + end * sigmoid(theta)`."""
    return start + end * theta.sigmoid()


class CTKD(Method):
    """Args: start, end: the temperature lies between start and start + end. loops: epochs until theta's full gradient."""

    def __init__(self, *, start: float = 1.0, end: float = 20.0, loops: int = 10) -> None:
        super().__init__()
        positive(start=start, end=end, loops=loops)
        self.start, self.end, self.loops = start, end, loops
        self.theta = nn.Parameter(torch.ones(()))

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def ctkd(self, step: Step) -> Tensor:
        rows, factor = step.student.rows, reversal(step.progress.epoch + 1, loops=self.loops)
        temperature = learned_temperature(scale_gradient(self.theta, factor), start=self.start, end=self.end)
        return softened_kl(rows.logits, step.teacher.rows.logits, temperature=temperature, weight=rows.weight)
