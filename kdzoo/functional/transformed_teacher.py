"""TTM and WTTM: KL from a teacher whose probabilities are raised to a power (Zheng, Yang, arXiv 2402.11148)."""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.float32 import in_float32


@in_float32
def transformed_kl_rows(student: Tensor, teacher: Tensor, *, power: float = 0.1) -> Tensor:
    """Per row, KL of the powered teacher from the student at temperature 1: logits (R, C) to (R,).

    >>> transformed_kl_rows(torch.zeros(1, 3), torch.zeros(1, 3))
    tensor([0.])
    """
    return kl_rows(student.log_softmax(-1), (power * teacher).log_softmax(-1))


@in_float32
def flatness(teacher: Tensor, *, power: float = 0.2) -> Tensor:
    """`sum_c p_t^power` per row, from 1 (certain) to C^(1 - power) (uniform): logits (R, C) to (R,).

    >>> round(flatness(torch.zeros(1, 4), power=0.5).item(), 4)  # 4 ** 0.5
    2.0
    """
    return (power * teacher.log_softmax(-1)).logsumexp(-1).exp()
