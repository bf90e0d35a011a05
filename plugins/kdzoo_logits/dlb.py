"""DLB: every sample comes twice in a row, and its second answer is held to its first.

Shen, Xu, Yang, Li, Guo, "Self-Distillation from the Last Mini-Batch for Consistency Regularization", CVPR 2022 (arXiv
2203.16172).

    dlb = T^2 mean over the repeated samples of KL(softmax(z_last / T) || softmax(z / T))        z: (B, C)

Each step trains on the previous step's new samples, drawn with another augmentation, and on as many new ones; z_last are the
logits that the repeated samples had in the previous step, before its update. Add `hard_label`, which sees both halves. In the
paper T 3 at weight 1. A recipe's `train.batch_size` is the number of new samples, half of what a step trains on, and an epoch
shows every sample twice: halve both to compare at equal exposure, as the authors do.

The logits wait in a table of one row per training sample (N x C float32), which is part of the checkpoint.

Deviation: both halves are one batch for BatchNorm, where the authors' trainer forwards, and so normalizes, each half by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.ranges import above
from kdzoo_logits.task_checks import classes

SHARE = "dlb_share"


def concatenated(first: Any, second: Any) -> Any:
    """Two equal trees of tensors, joined along the samples."""
    if isinstance(first, Tensor):
        return torch.cat((first, second))
    if isinstance(first, Mapping):
        return {key: concatenated(first[key], second[key]) for key in first}
    return type(first)(concatenated(a, b) for a, b in zip(first, second, strict=True))


@in_float32
def repeated_kl(student: Tensor, last: Tensor, share: Tensor, *, temperature: float = 3.0) -> Tensor:
    """`T^2 * mean_r share_r KL(last || student)`: logits (B, C).

    `share` (B,) is 0 for a new sample and B over the number of repeated ones for those, so that micro-batches add up.
    """
    rows = kl_rows((student / temperature).log_softmax(-1), (last / temperature).log_softmax(-1))
    return temperature**2 * row_mean(share.to(rows.dtype) * rows)


class DLB(Method):
    """Args: temperature: T > 0."""

    last: Tensor
    fresh: Tensor

    def __init__(self, *, temperature: float = 3.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature = temperature

    def needs(self) -> Needs:
        # A longer window would be loaded before the previous batch is trained on.
        return Needs(index=True, window=1, capabilities=frozenset({"classes"}))

    def setup(self, run: RunContext) -> None:
        self.register_buffer("last", torch.zeros(run.samples, classes(run)))
        self.register_buffer("fresh", torch.zeros(run.samples, dtype=torch.bool))

    def prepare(self, batch: Batch, run: RunContext) -> Batch:
        previous = self.fresh.nonzero().squeeze(-1)
        if not len(previous):
            return batch
        # Another epoch number is another augmentation of the same samples.
        again = next(iter(run.task.batches("train", [run.processes.chunk(previous).cpu()], epoch=-1 - batch.epoch, train=True)))
        size, whole = batch.size + again.size, batch.whole + len(previous)
        share = torch.zeros(size, device=self.last.device)
        share[: again.size] = whole / len(previous)
        joined = {name: concatenated(getattr(again, name), getattr(batch, name)) for name in ("inputs", "target", "index")}
        views = concatenated(again.views, batch.views)
        return replace(batch, **joined, views=views, size=size, whole=whole, extra={**batch.extra, SHARE: share})

    @term()
    def dlb(self, step: Step) -> Tensor:
        logits, share = step.student.rows.logits, step.batch.extra.get(SHARE)
        if share is None:  # the first batch of a run repeats nothing
            return logits.new_zeros(())
        return repeated_kl(logits, self.last[step.index], share, temperature=self.temperature)

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        self.fresh.zero_()
        for step in steps:
            share = step.batch.extra.get(SHARE)
            new = slice(None) if share is None else share == 0
            index = run.gather(step.index[new])
            self.last[index] = run.gather(step.student.rows.logits[new]).to(self.last.dtype)
            self.fresh[index] = True
