"""Online label smoothing: a class is taught the mean of what the student answered in the epoch before, where it was right.

Zhang, Jiang, Hou, Wei, Han, Li, Cheng, "Delving Deep into Label Smoothing", IEEE Transactions on Image Processing 2021 (arXiv
2011.12562).

    online_ls = -mean_r sum_c S[y_r, c] log p_c        p = softmax(z_s): (R, C), S: (C, C), y: (R,)
    after an epoch:  S[k] = mean of p over the samples with y = k = argmax p of that epoch; 1/C where there is none

It stands beside the labels: the authors' total is alpha CE + (1 - alpha) online_ls with alpha 0.5, so set `hard_label:
{weights: {hard_label: 0.5}}` beside the default weight here. Their CIFAR script begins with S = 0, so that in the first epoch
only the labels count (`start: zeros`); here S begins uniform. p is what the training step itself saw. S and the sums behind
the next one are in checkpoints, and are summed over processes. Rows without a label teach nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step


@in_float32
def class_targets_loss(student: Tensor, label: Tensor, targets: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """`-mean_r sum_c targets[y_r, c] log p_c`: logits (R, C), label (R,), targets (C, C); a row without a label is 0."""
    known = (label >= 0) & (label < len(targets))
    aim = torch.where(known.unsqueeze(-1), targets.to(student.dtype)[torch.where(known, label, 0)], 0)
    return row_mean(-(aim * student.log_softmax(-1)).sum(-1), weight)


def right_answers(student: Tensor, label: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """(C, C + 1) sums of the probabilities of rows that are right, by label, and how many these are in the last column.

    Rows whose `weight` (R,) is 0 are left out.
    """
    p = student.softmax(-1)
    label = label if weight is None else torch.where(weight != 0, label, -1)
    right = functional.one_hot(torch.where(p.argmax(-1) == label, label, p.shape[-1]), p.shape[-1] + 1)[:, :-1].to(p.dtype)
    return right.T @ torch.cat([p, torch.ones_like(p[:, :1])], -1)


def means_of(sums: Tensor) -> Tensor:
    """(C, C) targets from an epoch's sums (C, C + 1); uniform where a class was never right."""
    total, count = sums[:, :-1], sums[:, -1:]
    return torch.where(count > 0, total / count.clamp(min=1), 1 / len(sums))


class OnlineLS(Method):
    """Args: start: S in the first epoch, `uniform` or `zeros`; zeros is the authors' CIFAR script."""

    targets_by_class: Tensor
    sums: Tensor

    def __init__(self, *, start: Literal["uniform", "zeros"] = "uniform") -> None:
        super().__init__()
        self.start = start

    def needs(self) -> Needs:
        return Needs(capabilities=frozenset({"classes"}))

    def setup(self, run: RunContext) -> None:
        first = 1 / run.classes if self.start == "uniform" else 0.0
        self.register_buffer("targets_by_class", torch.full((run.classes, run.classes), first))
        self.register_buffer("sums", torch.zeros(run.classes, run.classes + 1))

    @term(weight=0.5, over=LABELS)
    def online_ls(self, step: Step) -> Tensor:
        rows = step.student.rows
        assert rows.target is not None  # the task has classes
        return class_targets_loss(rows.logits, hard_label(rows.target), self.targets_by_class, weight=rows.weight_of_labels)

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        found = torch.zeros_like(self.sums)
        for step in steps:
            rows = step.student.rows
            assert rows.target is not None
            found += right_answers(rows.logits.to(found.dtype), hard_label(rows.target), weight=rows.weight_of_labels)
        self.sums += run.gather(found[None]).sum(0)
        if run.progress.batch == run.progress.batches - 1:
            self.targets_by_class.copy_(means_of(self.sums))
            self.sums.zero_()
