"""Pseudo-labels from constrained inference: the student learns the most probable state in which the rules hold.

As DomiKnowS's programs that learn from the result of integer programming (Faghihi et al., EMNLP 2021, demonstrations).

    pseudo = sum over heads that rules speak of, mean_b CE(z_b, y_b)        y_b: the state that inference finds, no gradient

For a binary head, binary cross-entropy summed over its classes. By default labeled samples take part as well; with
`unlabeled_only` they have their labels alone. The default of `warmup`, in epochs, is ours: early inference is not worth
learning.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.protocol.needs import SAMPLES, term
from kdzoo.protocol.outputs import Rows, Step
from kdzoo.ranges import at_least
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.inference.most_probable import How
from kdzoo_knowledge.methods.inferred import LearnsFromInference
from kdzoo_knowledge.tasks.heads import rows_of


class ConstraintPseudoLabels(LearnsFromInference):
    """Args: unlabeled_only: see above. warmup: epochs without them. how, time_limit: of the inference."""

    def __init__(
        self, *, unlabeled_only: bool = False, warmup: int = 0, how: How = "auto", time_limit: float | None = 10.0
    ) -> None:
        super().__init__(how=how, time_limit=time_limit)
        at_least(0, warmup=warmup)
        self.unlabeled_only, self.warmup = unlabeled_only, warmup

    @term(over=SAMPLES)
    def pseudo(self, step: Step) -> Tensor:
        if step.progress.epoch < self.warmup:
            return step.student.rows.logits.sum() * 0
        losses = [
            self._loss(rows_of(step.student, name, self.rules.main), self.heads[name], inferred)
            for name, inferred in self.inference(step.student, step.batch).items()
        ]
        return torch.stack(losses).sum(0) / step.batch.size

    def _loss(self, rows: Rows, head: Head, inferred: Tensor) -> Tensor:
        """The sum over the rows that take part."""
        z = rows.logits.float()
        if head.binary:
            losses = F.binary_cross_entropy_with_logits(z, inferred.to(z.dtype), reduction="none").sum(1)
        else:
            losses = F.cross_entropy(z, inferred, reduction="none")
        known = rows.label_weight
        return losses.sum() if known is None or not self.unlabeled_only else (losses * (known == 0)).sum()
