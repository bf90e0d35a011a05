"""An EMA teacher: a moving average of the student's weights.

Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017, arXiv 1703.01780: after each step
theta_t <- momentum * theta_t + (1 - momentum) * theta_s. Buffers (BatchNorm statistics) are copied.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.teacher import Teacher
from kdzoo.ranges import at_least_and_below


class EMA(Teacher):
    """The student's own moving average as its teacher.

    Args:
        momentum: how much of the average stays at each step; 0.999 in the paper, after a ramp-up at 0.99.
    """

    frozen = False

    def __init__(self, *, momentum: float = 0.999) -> None:
        super().__init__()
        at_least_and_below(0, 1, momentum=momentum)
        self.momentum = momentum

    def build(self, run: RunContext) -> None:
        self.model = copy.deepcopy(run.student)

    @torch.no_grad()
    def after_step(self, run: RunContext) -> None:
        assert self.model is not None
        averaged: list[Tensor] = list(self.model.parameters())
        live: list[Tensor] = list(run.student.parameters())
        torch._foreach_lerp_(averaged, live, 1.0 - self.momentum)
        for buffer, current in zip(self.model.buffers(), run.student.buffers(), strict=True):
            buffer.copy_(current)
