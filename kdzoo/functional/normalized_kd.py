"""NKD's two parts: the label, and the normalized distribution of the others (Yang et al., ICCV 2023, arXiv 2303.13005)."""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.decouple import at_label, off_label
from kdzoo.functional.divergence import soft_cross_entropy
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.row_mean import row_mean


@in_float32
def confident_label_loss(student: Tensor, teacher: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """`-mean_r p_t[y] log p_s[y]` at temperature 1: cross-entropy, each row scaled by the teacher's confidence.

    >>> round(confident_label_loss(torch.zeros(1, 4), torch.zeros(1, 4), torch.tensor([0])).item(), 4)  # log 4, a quarter sure
    0.3466
    """
    label = hard_label(target)
    return row_mean(-at_label(teacher.softmax(-1), label) * at_label(student.log_softmax(-1), label), weight)


@in_float32
def non_target_cross_entropy(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """`T^2` times the mean cross-entropy between the distributions over the classes that are not the label.

    >>> logits = torch.zeros(1, 3)
    >>> round(non_target_cross_entropy(logits, logits, torch.tensor([0]), temperature=1.0).item(), 4)  # log 2
    0.6931
    """
    label = hard_label(target)
    others = off_label(student, label), off_label(teacher, label)
    return temperature**2 * soft_cross_entropy(*others, temperature=temperature, weight=weight)
