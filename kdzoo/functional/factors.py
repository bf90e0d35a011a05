"""Factor transfer: the student imitates a compressed, "paraphrased" map of the teacher.

Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018, arXiv 1802.04977.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.attention import attention_map
from kdzoo.functional.features import same_size, unit, unit_gap
from kdzoo.functional.float32 import in_float32


@in_float32
def factor_transfer(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute gap of the flattened factors (B, C, H, W), each sample's factor of unit length: the paper's p = 1.

    >>> factor = torch.arange(16.0).reshape(2, 2, 2, 2)
    >>> factor_transfer(factor, factor)
    tensor(0.)
    """
    student, teacher = same_size(student, teacher)
    return (unit(student.flatten(1)) - unit(teacher.flatten(1))).abs().mean()


@in_float32
def factor_transfer_norm(student: Tensor, teacher: Tensor) -> Tensor:
    """The paper's p = 2: mean over the batch of the distance between the flattened unit factors.

    >>> factor = torch.arange(16.0).reshape(2, 2, 2, 2)
    >>> round(factor_transfer_norm(factor, factor).item(), 4)
    0.0
    """
    student, teacher = same_size(student, teacher)
    return unit_gap(unit(student.flatten(1)), unit(teacher.flatten(1)))


@in_float32
def factor_attention(student: Tensor, teacher: Tensor) -> Tensor:
    """RepDistiller's variant: mean absolute gap of the factors' attention maps, so channels are averaged away first.

    >>> factor = torch.arange(16.0).reshape(2, 2, 2, 2)
    >>> factor_attention(factor, factor)
    tensor(0.)
    """
    student, teacher = same_size(student, teacher)
    return (attention_map(student) - attention_map(teacher)).abs().mean()
