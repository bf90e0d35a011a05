"""What the target transforms of this family share: which rows have a label, and logits that give a distribution back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.labels import hard_label
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Pair

Remade = Callable[[Tensor], Tensor]
"""From the teacher's log-probabilities (R, C) to those of the target."""


def with_target(pair: Pair, remake: Remade) -> Pair:
    """The pair whose teacher says log rho = `remake(log q)` at the method's temperature T: q = softmax(z_t / T)."""
    if pair.teacher is None:
        return pair
    log_q = (pair.teacher.logits / pair.temperature).log_softmax(-1)
    return replace(pair, teacher=replace(pair.teacher, scores=pair.temperature * remake(log_q)))


def labels_of(pair: Pair, classes: int) -> tuple[Tensor, Tensor]:
    """Each row's label (R,), and whether it has one (R, 1); a row without has the label 0 here."""
    assert pair.student.target is not None
    label = hard_label(pair.student.target)
    known = (label >= 0) & (label < classes)
    if pair.student.label_weight is not None:
        known &= pair.student.label_weight != 0
    return torch.where(known, label, 0), known.unsqueeze(-1)


def several_classes(run: RunContext, where: str) -> None:
    """Refuse a task of one class, where there is nothing to spread. Args: where: the transform, in recipe words."""
    if run.classes < 2:
        raise CapabilityError(f"{where} spreads probability over other classes, but the task has {run.classes}; remove it.")
