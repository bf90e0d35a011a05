"""Inference-masked loss: labels count less where constrained inference already gets them right.

Guo, Rajaby Faghihi, Zhang, Uszok, Kordjamshidi, "Inference-Masked Loss for Deep Structured Output Learning", IJCAI 2020.

    masked = sum over heads of mean_b m_b CE(z_b, t_b),  m = agreed where inference gives the label, else 1

For a binary head this is element by element, -(1 - (1 - l) y) t log s - (l + (1 - l) y)(1 - t) log(1 - s) with l = agreed and y
what inference says. Inference finds the most probable state in which the rules hold (`inference.most_probable`), without
gradient. It stands in the place of `hard_label`; the default of `agreed` is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.needs import LABELS, term
from kdzoo.protocol.outputs import Rows, Step
from kdzoo.ranges import between
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.inference.most_probable import How
from kdzoo_knowledge.logic.masking import inference_masked
from kdzoo_knowledge.methods.inferred import LearnsFromInference
from kdzoo_knowledge.tasks.heads import labeled_loss, rows_of


class InferenceMasked(LearnsFromInference):
    """Args: agreed: lambda, 0 to 1; 1 is the labels' plain loss. how, time_limit: of the inference."""

    def __init__(self, *, agreed: float = 0.5, how: How = "auto", time_limit: float | None = 10.0) -> None:
        super().__init__(how=how, time_limit=time_limit)
        between(0, 1, agreed=agreed)
        self.agreed = agreed

    @term(over=LABELS)
    def masked(self, step: Step) -> Tensor:
        inferred = self.inference(step.student, step.batch)
        losses = []
        for name, head in self.heads.items():
            rows = rows_of(step.student, name, self.rules.main)
            losses.append(self._masked(rows, head, inferred[name]) if name in inferred else labeled_loss(rows, head))
        return torch.stack(losses).sum(0)

    def _masked(self, rows: Rows, head: Head, inferred: Tensor) -> Tensor:
        if rows.target is None:
            return rows.logits.sum() * 0
        if head.binary:
            losses = inference_masked(rows.logits, rows.target, inferred.to(rows.logits.dtype), agreed=self.agreed).sum(1)
        else:
            mask = torch.where(inferred == rows.target, self.agreed, 1.0)
            losses = mask * F.cross_entropy(rows.logits.float(), rows.target, reduction="none")
        return row_mean(losses, rows.weight_of_labels)
