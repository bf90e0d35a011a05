"""CTKD: a temperature that is learned against the student, at a strength that grows by a curriculum; for any logit method.

Li, Li, Yang, Zhao, Song, Luo, Li, Yang, "Curriculum Temperature for Knowledge Distillation", AAAI 2023 (arXiv 2211.16231).

    z' = z / T for student and teacher, and T^2 on the method's terms        T = start + end sigmoid(theta), theta a scalar

theta's gradient is multiplied by lambda(e) <= 0, so theta climbs the loss that the student descends; the student's gradient is
untouched. lambda falls from 0 to -1 over 10 epochs by half a cosine and stays, epochs counted from 1. T^2 is differentiated for
theta too, as in the authors' code. CTKD itself is `kd: {temperature: 1, logits: [curriculum_temperature]}`; leave the method's
own temperature at 1, since the two multiply. The authors' global variant: start 1, end 20, theta 1 at first (T = 15.6), labels
at 0.1, the method at 0.9; theta trains in the student's optimizer, weight decay included.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from kdzoo.functional.gradient import scale_gradient
from kdzoo.protocol.method import Transform
from kdzoo.protocol.outputs import Pair, Rows, Step
from kdzoo.ranges import above


def reversal(epoch: int, *, loops: int = 10, first: float = 0.0, last: float = -1.0) -> float:
    """lambda in this epoch: half a cosine from `first` at epoch 0 to `last` at epoch `loops`, then `last`."""
    return last + (first - last) * (math.cos(math.pi * min(epoch, loops) / loops) + 1) / 2


def learned_temperature(theta: Tensor, *, start: float = 1.0, end: float = 20.0) -> Tensor:
    """`start + end * sigmoid(theta)`."""
    return start + end * theta.sigmoid()


class CurriculumTemperature(Transform):
    """Args: start, end: the temperature lies between start and start + end. loops: epochs until theta's full gradient."""

    changes = frozenset({"student", "teacher"})

    def __init__(self, *, start: float = 1.0, end: float = 20.0, loops: int = 10) -> None:
        super().__init__()
        above(0, start=start, end=end, loops=loops)
        self.start, self.end, self.loops = start, end, loops
        self.theta = nn.Parameter(torch.ones(()))

    def forward(self, pair: Pair, step: Step) -> Pair:
        factor = reversal(step.progress.epoch + 1, loops=self.loops)
        temperature = learned_temperature(scale_gradient(self.theta, factor), start=self.start, end=self.end)

        def softened(rows: Rows) -> Rows:
            return replace(rows, scores=rows.logits / temperature)

        teacher = None if pair.teacher is None else softened(pair.teacher)
        scale = temperature**2 if pair.scale is None else pair.scale * temperature**2
        return replace(pair, student=softened(pair.student), teacher=teacher, scale=scale)
