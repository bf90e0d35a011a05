"""DKD's two parts: the label against the rest, and the rest among themselves (Zhao et al., CVPR 2022, arXiv 2203.08679)."""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.decouple import label_or_not, off_label
from kdzoo.functional.divergence import kl_rows, softened_kl
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.row_mean import row_mean


@in_float32
def target_class_kl(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None
) -> Tensor:
    """TCKD: `T^2 * mean_r KL` between the two-event distributions "the label, or not". Logits (R, C), target (R,).

    >>> student, teacher = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[2.0, 5.0, -5.0]])
    >>> round(target_class_kl(student, teacher, torch.tensor([0])).item(), 4)
    0.7329
    """
    label = hard_label(target)
    rows = kl_rows(label_or_not(student / temperature, label), label_or_not(teacher / temperature, label))
    return temperature**2 * row_mean(rows, weight)


@in_float32
def non_target_kl(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None
) -> Tensor:
    """NCKD: `T^2 * mean_r KL` between the distributions over the classes that are not the label.

    >>> student, teacher = torch.tensor([[9.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    >>> non_target_kl(student, teacher, torch.tensor([0]))  # the label's logit plays no part
    tensor(0.)
    """
    label = hard_label(target)
    return softened_kl(off_label(student, label), off_label(teacher, label), temperature=temperature, weight=weight)
