"""Samples with a class, and means over them: what the analyses by class share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.analysis import Answers, Measured

MOST_NAMED = 5


@dataclass(frozen=True)
class Labeled:
    """The samples of a split that have a class, in double precision.

    Attributes:
        logits: (n, K); target: (n,), classes; kept: (N,), which samples of the split these are.
        present: (K,), the classes with enough samples; notes: what was left out.
    """

    logits: Tensor
    target: Tensor
    kept: Tensor
    present: Tensor
    notes: list[str]

    @property
    def probabilities(self) -> Tensor:
        return self.logits.softmax(1)

    @property
    def classes(self) -> int:
        return self.logits.shape[1]


def labeled(run: Measured, split: str, *, least: int = 1, answers: Answers | None = None) -> Labeled:
    """The samples that have a class.

    Args:
        least: samples that a class needs to be looked at.
        answers: of which model; default the student.

    Raises CapabilityError if labels are no classes, or fewer than two classes have enough samples.
    """
    answers = run.student.splits[split] if answers is None else answers
    target, classes = answers.target, answers.logits.shape[1]
    if target is None or target.ndim != 1 or target.is_floating_point():
        raise CapabilityError(f"the labels of the run {run.name} on {split} are no classes, so its samples cannot be grouped.")
    kept = (target >= 0) & (target < classes)
    counts = torch.bincount(target[kept], minlength=classes)
    present, without = counts >= least, len(target) - int(kept.sum())
    notes = [f"{run.name}: {without} of {len(target)} samples of {split} have no class and are left out."] if without else []
    if int(present.sum()) < 2:
        few = "" if least == 1 else f"{least} or more "
        raise CapabilityError(
            f"the run {run.name} has {few}samples of {int(present.sum())} class{'' if int(present.sum()) == 1 else 'es'} on "
            f"{split}, but at least two such classes are compared: choose another split, or analyze more samples."
        )
    if not bool(present.all()):
        reason = "no samples" if least == 1 else f"fewer than {least} samples"
        notes.append(f"{run.name}: {_listed(run, present)} {reason} on {split} and no part in means over classes.")
    return Labeled(answers.logits[kept].double(), target[kept], kept, present, notes)


def class_means(values: Tensor, target: Tensor, classes: int) -> Tensor:
    """Means (K, ...) of values (N, ...) over the samples of each class; NaN for a class without samples."""
    counts = torch.bincount(target, minlength=classes).to(values.dtype)
    sums = values.new_zeros(classes, *values.shape[1:]).index_add(0, target, values)
    return sums / counts.view(-1, *[1] * (values.ndim - 1))


def check_classes(run: Measured, wanted: Sequence[int], classes: int, setting: str) -> None:
    """Refuse classes that the run does not have. Raises CapabilityError."""
    for each in wanted:
        if not 0 <= each < classes:
            raise CapabilityError(f"{setting} names class {each}, but the run {run.name} has the classes 0 to {classes - 1}.")


def name_of(run: Measured, number: int) -> str:
    """What a class is called."""
    return run.class_names[number] if number < len(run.class_names) else str(number)


def names_of(run: Measured, classes: int) -> list[str]:
    """What the classes are called."""
    return [name_of(run, number) for number in range(classes)]


def _listed(run: Measured, present: Tensor) -> str:
    absent = (~present).nonzero().flatten().tolist()
    shown = ", ".join(name_of(run, each) for each in absent[:MOST_NAMED])
    more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
    return f"the class {shown} has" if len(absent) == 1 else f"the classes {shown}{more} have"
