"""What the methods of this family ask of a task: labels and class counts."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.outputs import Rows, Step


def look(run: RunContext) -> Rows:
    """The student's rows on two samples, from a look that leaves no trace."""
    with torch.no_grad():
        return run.forward(next(iter(run.learners)), run.task.example(), commit=False).rows


def classes(run: RunContext) -> int:
    """How many classes the student tells apart."""
    return look(run).logits.shape[-1]


def labeled(method: Method, run: RunContext) -> None:
    """Refuse a task whose rows have no label."""
    if look(run).target is None:
        raise CapabilityError(
            f"methods.{method.label} needs a label per row, but this task's rows have none; "
            "use a method without labels (kd, dist, ttm) or another task."
        )


def other_classes_there(method: Method, run: RunContext) -> None:
    """Refuse a task without labels, or of two classes, where there is nothing to learn among those that are not the label."""
    labeled(method, run)
    found = classes(run)
    if found < 3:
        raise CapabilityError(
            f"methods.{method.label} compares the classes that are not the label, but the task has {found} classes, so "
            "there is nothing to compare; it needs at least 3. Use kd instead."
        )


def labels(step: Step) -> Tensor:
    """The student's targets, (R,) or (R, C), of a task that `labeled` let pass."""
    target = step.student.rows.target
    assert target is not None
    return target
