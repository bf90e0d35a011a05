"""What constrained inference says of each head, for the methods that learn from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.protocol.outputs import Batch, Output
from kdzoo_knowledge.grounded import Grounded, sample_theory
from kdzoo_knowledge.inference.most_probable import How, MostProbable
from kdzoo_knowledge.tasks.heads import rows_of
from kdzoo_knowledge.tasks.meter import decided_by


class Inferring(nn.Module):
    """The most probable state of each sample. Raises CapabilityError for rules about anything but samples.

    Attributes:
        fallbacks: samples without a proven optimum so far.
    """

    def __init__(self, rules: Grounded, *, how: How, time_limit: float | None, owner: str) -> None:
        super().__init__()
        theory = self.subject = sample_theory(rules, owner)
        self.inference = MostProbable(theory, how=how, time_limit=time_limit, owner=owner)
        self.main, self.fallbacks = rules.main, 0

    @torch.no_grad()
    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Head -> its classes (B,), or 0 and 1 (B, n) of a binary head; heads that no rule speaks of are left out."""
        found = self.inference(self.literals(output))
        self.fallbacks += found.fallbacks
        return decided_by(self.subject, found.literals)

    def literals(self, output: Output) -> Tensor:
        logits = {
            (variable.role, variable.head.name): rows_of(output, variable.head.name, self.main).logits
            for variable in self.subject.variables
        }
        return self.subject.log_literals(logits)
