"""Telling which row of a table a vector belongs to: the losses of the auto-distiller and its ablations.

Shapes: student vectors h (R, d), the table X (n, d), the true rows `label` (R,), a bias per row (n,). All give (R,).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.functional.float32 import in_float32


@in_float32
def identify(student: Tensor, table: Tensor, label: Tensor, bias: Tensor | None = None) -> Tensor:
    """`-log softmax_j(h . X_j + c_j)` at the label, over the whole table."""
    logits = student @ table.mT
    return F.cross_entropy(logits if bias is None else logits + bias, label, reduction="none")


@in_float32
def identify_sampled(
    student: Tensor, table: Tensor, label: Tensor, bias: Tensor, *, sampled: Tensor, expected: Tensor
) -> Tensor:
    """The same over the label and sampled rows (K,) only; each logit less the log of the row's expected count (n,).

    A sampled row that is the label itself does not count (sampled softmax: Jean et al., ACL 2015, arXiv 1412.2007).
    """
    offset = bias - expected.log().to(bias.dtype)
    own = (student * table[label]).sum(1) + offset[label]
    others = student @ table[sampled].mT + offset[sampled]
    others = others.masked_fill(sampled == label[:, None], -torch.inf)
    return torch.cat([own[:, None], others], 1).logsumexp(1) - own


@in_float32
def identify_in_batch(student: Tensor, rows: Tensor, label: Tensor, *, temperature: float = 0.1) -> Tensor:
    """The same among the rows (R, d) of the batch, by cosine over a temperature; further rows of one label do not count."""
    logits = F.normalize(student, dim=-1) @ F.normalize(rows, dim=-1).mT / temperature
    same = (label[:, None] == label) & ~torch.eye(len(label), dtype=torch.bool, device=label.device)
    places = torch.arange(len(label), device=label.device)
    return F.cross_entropy(logits.masked_fill(same, -torch.inf), places, reduction="none")


@in_float32
def apart(student: Tensor, rows: Tensor) -> Tensor:
    """Minus the cosine of each vector and its row, (R, d) both."""
    return -F.cosine_similarity(student, rows, dim=-1)
