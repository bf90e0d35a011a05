"""How far the student's distribution is from the teacher's, row by row: logits (R, C) in, a mean over rows out.

The teacher is never detached here: who calls decides whether a gradient flows into it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.row_mean import row_mean


def kl_rows(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    """KL(teacher || student) per row from log-probabilities (..., C); a class the teacher rules out (-inf) adds 0.

    >>> kl_rows(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[1.0, 0.0]]).log())  # log 2
    tensor([0.6931])
    """
    possible = log_teacher > -torch.inf
    gap = torch.where(possible, log_teacher - log_student, 0)
    return (log_teacher.exp() * gap).sum(-1)


@in_float32
def kl_divergence(
    student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Mean over rows of KL(p_t || p_s) with p = softmax(z / temperature), **without** the factor T^2.

    `student`, `teacher`: logits (R, C). `weight`: (R,) or None for a plain mean. The gradient is `(p_s - p_t) / (T R)`.

    >>> kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]]) + 3)  # a shift of the logits is nothing
    tensor(0.)
    """
    rows = kl_rows((student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1))
    return row_mean(rows, weight)


@in_float32
def softened_kl(student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 4.0, weight: Tensor | None = None) -> Tensor:
    """The distillation loss of Hinton et al. 2015: `T^2 * kl_divergence`, whose gradient is `T (p_s - p_t) / R`.

    >>> student, teacher = torch.zeros(1, 2), torch.tensor([[2.0, 0.0]])
    >>> round(softened_kl(student, teacher, temperature=4.0).item(), 4)
    0.4848
    """
    return temperature**2 * kl_divergence(student, teacher, temperature=temperature, weight=weight)


@in_float32
def soft_cross_entropy(
    student: Tensor, teacher: Tensor, *, temperature: float | Tensor = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Mean over rows of `-sum_c p_t log p_s` at the temperature, without T^2.

    It is the KL plus the teacher's entropy: another value, the same gradient for the student.

    >>> round(soft_cross_entropy(torch.zeros(1, 4), torch.zeros(1, 4)).item(), 4)  # log 4
    1.3863
    """
    rows = -((teacher / temperature).softmax(-1) * (student / temperature).log_softmax(-1)).sum(-1)
    return row_mean(rows, weight)
