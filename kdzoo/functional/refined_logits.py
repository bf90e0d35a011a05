"""RLD's two parts: the teacher's confidence, and the classes that it ranks below the label (Sun et al., arXiv 2408.07703)."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.decouple import at_label, label_or_not
from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.row_mean import row_mean


@in_float32
def sample_confidence_kl(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """SCD: `T^2 * mean_r KL` of two-event distributions, the teacher's about its own top class. Logits (R, C).

    >>> logits = torch.tensor([[2.0, 0.0, 1.0]])
    >>> round(sample_confidence_kl(logits, logits, torch.tensor([0])).item(), 4)
    0.0
    """
    log_s = label_or_not(student / temperature, hard_label(target))
    log_t = label_or_not(teacher / temperature, teacher.argmax(-1))
    return temperature**2 * row_mean(kl_rows(log_s, log_t), weight)


@in_float32
def masked_correlation_kl(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None
) -> Tensor:
    """MCD: `T^2 * mean_r KL` over the classes whose teacher logit is below the label's. Logits (R, C).

    >>> logits = torch.tensor([[2.0, 0.0, 1.0]])
    >>> round(masked_correlation_kl(logits, logits, torch.tensor([0])).item(), 4)
    0.0
    """
    dropped = teacher >= at_label(teacher, hard_label(target)).unsqueeze(-1)
    some = ~dropped.all(-1)
    hidden = dropped & some.unsqueeze(-1)
    log_s, log_t = ((z / temperature).masked_fill(hidden, -torch.inf).log_softmax(-1) for z in (student, teacher))
    return temperature**2 * row_mean(some * kl_rows(log_s, log_t), weight)
