"""A virtual teacher: no network, a hand-made distribution that puts most of its mass on the label.

Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020: p(label) = a,
p(other) = (1 - a) / (C - 1), with a = 0.99. It answers with log-probabilities as logits, so that softmax gives p back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from kdzoo.errors import CapabilityError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.teacher import Teacher
from kdzoo.ranges import strictly_between


class Virtual(Teacher):
    """Label smoothing in the shape of a teacher.

    Args:
        correct: probability of the label; 0.99 in the paper's code. Must be above 1 / classes and below 1.
    """

    def __init__(self, *, correct: float = 0.99) -> None:
        super().__init__()
        strictly_between(0, 1, correct=correct)
        self.correct = correct

    def build(self, run: RunContext) -> None:
        if "classes" not in run.task.capabilities:
            raise CapabilityError(f"teachers.{self.name} needs class labels, which this task does not have.")
        self.classes = int(run.task.facts()["classes"])

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        target = batch.target
        logits = torch.full(
            (len(target), self.classes), math.log((1 - self.correct) / (self.classes - 1)), device=target.device
        )
        logits.scatter_(1, target[:, None], math.log(self.correct))
        return Output(Rows(logits, target))
