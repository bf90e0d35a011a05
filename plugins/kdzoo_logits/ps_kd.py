"""PS-KD: the student's own predictions of the previous epoch soften its targets, more and more as training goes on.

Kim, Ji, Yoon, Hwang, "Self-Knowledge Distillation with Progressive Refinement of Targets", ICCV 2021.

    ps_kd = mean_r H(q_r, softmax(z_s)_r)        q = (1 - a) onehot(y) + a softmax(z_s of the previous epoch)
    a = alpha (e + 1) / E in epoch e of E, counted from 0        z_s: (R, C), y: (R,)

It replaces the label loss: leave `hard_label` out. CIFAR-100: alpha 0.8, no temperature, 300 epochs.

A table of one distribution per training sample is kept (N x C float32, 20 MB for CIFAR-100) and written after each optimizer
step; a sample without an entry yet is taught its label, as in the first epoch of the paper. The table is part of the
checkpoint. Its rows are samples, so the task must give one row per sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.functional.labels import cross_entropy, probabilities
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Progress, Step
from kdzoo.ranges import between
from kdzoo_logits.task_checks import classes, labeled, labels


def progressive_targets(target: Tensor, past: Tensor, *, share: float) -> Tensor:
    """(R, C) targets `(1 - share) q + share * past`; a row of `past` (R, C) that is all zero leaves its target as it is."""
    aim = probabilities(target, past)
    known = past.sum(-1, keepdim=True) > 0
    return torch.where(known, (1 - share) * aim + share * past, aim)


def share_at(progress: Progress, alpha: float) -> float:
    """The share of the past predictions in this epoch: `alpha (e + 1) / E`."""
    return alpha * (progress.epoch + 1) / progress.epochs


class PSKD(Method):
    """Args: alpha: the past predictions' share in the last epoch, 0 to 1."""

    past: Tensor

    def __init__(self, *, alpha: float = 0.8) -> None:
        super().__init__()
        between(0, 1, alpha=alpha)
        self.alpha = alpha

    def needs(self) -> Needs:
        return Needs(index=True, capabilities=frozenset({"classes"}))

    def setup(self, run: RunContext) -> None:
        labeled(self, run)
        self.register_buffer("past", torch.zeros(run.samples, classes(run)))

    @term(over=LABELS)
    def ps_kd(self, step: Step) -> Tensor:
        rows = step.student.rows
        aim = progressive_targets(labels(step), self.past[step.index], share=share_at(step.progress, self.alpha))
        return cross_entropy(rows.logits, aim, weight=rows.weight_of_labels)

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        for step in steps:
            seen = step.student.rows.logits.float().softmax(-1)
            self.past[run.gather(step.index)] = run.gather(seen).to(self.past.dtype)
