"""The target class apart from the others: what DKD, NKD, RLD and WKD have in common.

All in log space, so a probability that underflows costs no -inf; nothing is masked by adding large numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor


def at_label(values: Tensor, label: Tensor) -> Tensor:
    """The entry of each row at its label: (R, C), (R,) to (R,)."""
    return values.gather(-1, label.unsqueeze(-1)).squeeze(-1)


def other_classes(label: Tensor, classes: int) -> Tensor:
    """Indices (R, C - 1) of the classes that are not the label, ascending."""
    index = torch.arange(classes - 1, device=label.device)
    return index + (index >= label.unsqueeze(-1)).long()


def off_label(values: Tensor, label: Tensor) -> Tensor:
    """Each row without the entry at its label: (R, C), (R,) to (R, C - 1)."""
    return values.gather(-1, other_classes(label, values.shape[-1]))


def label_or_not(logits: Tensor, label: Tensor) -> Tensor:
    """(R, 2) log-probabilities of the two events "the label" and "any other class"."""
    log_p = logits.log_softmax(-1)
    return torch.stack((at_label(log_p, label), off_label(log_p, label).logsumexp(-1)), -1)
