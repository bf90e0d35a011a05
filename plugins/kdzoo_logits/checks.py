"""Checks that the methods of this family share: ranges in the words of a recipe, labels and class counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.method import Method
from kdzoo.outputs import Step

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


def positive(**values: float) -> None:
    """Refuse a value that is not above zero. Raises ValueError; the recipe names the place."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value:g}")


def share(**values: float) -> None:
    """Refuse a value outside 0 to 1. Raises ValueError."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be between 0 and 1, got {value:g}")


def labels(step: Step) -> Tensor:
    """The student's targets, (R,) or (R, C); CapabilityError where the task gives its rows none."""
    target = step.student.rows.target
    if target is None:
        raise CapabilityError(
            f"methods.{step.label} needs a label per row, but this task's rows have no target; "
            "use a method without labels (kd, dist, ttm) or another task."
        )
    return target


def classes(run: Run) -> int:
    """Classes of the student's logits, from a look at two samples that leaves no trace."""
    role = next(iter(run.learners))
    with torch.no_grad():
        return run.forward(role, run.task.example(), commit=False).rows.logits.shape[-1]


def three_classes(method: Method, run: Run) -> None:
    """Refuse a task of two classes, where the classes other than the label are a single one with nothing to learn."""
    found = classes(run)
    if found < 3:
        raise CapabilityError(
            f"methods.{method.label} compares the classes that are not the label, but the task has {found} classes, so "
            "there is nothing to compare; it needs at least 3. Use kd instead."
        )
