"""Heads of an output: cutting a model's logits into them, their targets, and their loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import cross_entropy
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.outputs import Output, Rows
from kdzoo_knowledge.declaration.vocabulary import Head

NO_LABEL = -100


def targets_of(head: Head, covered: Sequence[tuple[int, ...]], labels: int) -> Tensor | None:
    """What each label of the data means for a head: (labels,) the class, or (labels, n) 0 and 1 for a binary head.

    A label that no class of a softmax head covers is no label of it. None for a head without labels.
    """
    if not any(covered):
        return None
    if head.binary:
        table = torch.zeros(labels, len(head.classes))
        for column, own in enumerate(covered):
            table[list(own), column] = 1.0
        return table
    classes = torch.full((labels,), NO_LABEL)
    for column, own in enumerate(covered):
        classes[list(own)] = column
    return classes


def cut(logits: Tensor, heads: Sequence[Head]) -> dict[str, Tensor]:
    """A model's logits (R, all classes) as those of its heads, in order."""
    return dict(zip((head.name for head in heads), logits.split([len(head.classes) for head in heads], 1), strict=True))


def rows_of(output: Output, name: str, main: str) -> Rows:
    """A head's rows in an output; those that a method reads may carry its transforms."""
    if name == (output.reads or main):
        return output.rows
    found = output.heads[name]
    assert isinstance(found, Rows)
    return found


@in_float32
def binary_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of concepts (R, n), summed over them; the mean over rows."""
    return row_mean(F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none").sum(1), weight)


def labeled_loss(rows: Rows, head: Head) -> Tensor:
    """The loss of one head against its labels, a mean over the labeled rows; one whose label no class covers is 0."""
    if rows.target is None:
        return rows.logits.sum() * 0
    if head.binary:
        return binary_loss(rows.logits, rows.target, weight=rows.weight_of_labels)
    return cross_entropy(rows.logits, rows.target, weight=rows.weight_of_labels)


def heads_loss(output: Output, heads: Mapping[str, Head], main: str) -> Tensor:
    """The sum of the losses of all heads with labels; of the one alone that a method reads."""
    if output.reads is not None:
        return labeled_loss(output.rows, heads[output.reads])
    losses = [labeled_loss(rows_of(output, name, main), head) for name, head in heads.items()]
    return torch.stack(losses).sum(0)
