"""Pseudo-labels from constrained inference: the student learns the most probable state in which the rules hold.

As DomiKnowS's programs that learn from the result of integer programming (Faghihi et al., EMNLP 2021, demonstrations).

    pseudo = sum over heads that rules speak of, mean_b CE(z_b, y_b)        y_b: the state that inference finds, no gradient

For a binary head, binary cross-entropy summed over its classes. By default labeled samples take part as well; with
`unlabeled_only` they have their labels alone. The default of `warmup`, in epochs, is ours: early inference is not worth
learning.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs, term
from kdzoo.protocol.outputs import Rows, Step
from kdzoo.ranges import above, at_least
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.grounded import NEEDS, Grounded
from kdzoo_knowledge.inference.most_probable import How
from kdzoo_knowledge.methods.inferred import Inferring
from kdzoo_knowledge.tasks.heads import rows_of


class ConstraintPseudoLabels(Method):
    """Args: unlabeled_only: see above. warmup: epochs without them. how, time_limit: of the inference."""

    def __init__(
        self, *, unlabeled_only: bool = False, warmup: int = 0, how: How = "auto", time_limit: float | None = 10.0
    ) -> None:
        super().__init__()
        at_least(0, warmup=warmup)
        above(0, time_limit=time_limit)
        self.unlabeled_only, self.warmup, self.how, self.time_limit = unlabeled_only, warmup, how, time_limit

    def needs(self) -> Needs:
        return NEEDS

    def setup(self, run: RunContext) -> None:
        self.rules = Grounded(run, f"methods.{self.label}")
        self.inference = Inferring(self.rules, how=self.how, time_limit=self.time_limit, owner=f"methods.{self.label}")
        self.heads = dict(run.task.knowledge.vocabulary.heads)  # type: ignore[attr-defined]

    @term(over=SAMPLES)
    def pseudo(self, step: Step) -> Tensor:
        if step.progress.epoch < self.warmup:
            return step.student.rows.logits.sum() * 0
        losses = [
            self._loss(rows_of(step.student, name, self.rules.main), self.heads[name], inferred)
            for name, inferred in self.inference(step.student, step.batch).items()
        ]
        return torch.stack(losses).sum(0) / step.batch.size

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        if self.inference.fallbacks:
            run.note(**{f"{self.label}.fallbacks": self.inference.fallbacks})

    def _loss(self, rows: Rows, head: Head, inferred: Tensor) -> Tensor:
        """The sum over the rows that take part."""
        z = rows.logits.float()
        if head.binary:
            losses = F.binary_cross_entropy_with_logits(z, inferred.to(z.dtype), reduction="none").sum(1)
        else:
            losses = F.cross_entropy(z, inferred, reduction="none")
        known = rows.label_weight
        return losses.sum() if known is None or not self.unlabeled_only else (losses * (known == 0)).sum()
