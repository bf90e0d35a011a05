"""What constrained inference says of each head, and the methods that learn from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch, Output, Step
from kdzoo.ranges import above
from kdzoo_knowledge.grounded import NEEDS, Grounded, sample_theory
from kdzoo_knowledge.inference.most_probable import How, MostProbable
from kdzoo_knowledge.tasks.meter import decided_by


class Inferring(nn.Module):
    """The most probable state of each sample. Raises CapabilityError for rules about anything but samples.

    Attributes:
        fallbacks: samples without a proven optimum so far.
    """

    def __init__(self, rules: Grounded, *, how: How, time_limit: float | None, owner: str) -> None:
        super().__init__()
        self.rules, self.fallbacks = rules, 0
        self.inference = MostProbable(sample_theory(rules, owner), how=how, time_limit=time_limit, owner=owner)

    @torch.no_grad()
    def forward(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Head -> its classes (B,), or 0 and 1 (B, n) of a binary head; heads that no rule speaks of are left out."""
        (literals,) = self.rules.literals(output, batch)
        found = self.inference(literals)
        self.fallbacks += found.fallbacks
        return decided_by(self.inference.theory, found.literals)


class LearnsFromInference(Method):
    """A method to which constrained inference says what the student's answers become where the rules hold.

    Args: how, time_limit: of the inference.
    """

    def __init__(self, *, how: How, time_limit: float | None) -> None:
        super().__init__()
        above(0, time_limit=time_limit)
        self.how, self.time_limit = how, time_limit

    def needs(self) -> Needs:
        return NEEDS

    def setup(self, run: RunContext) -> None:
        self.rules = Grounded(run, f"methods.{self.label}")
        self.inference = Inferring(self.rules, how=self.how, time_limit=self.time_limit, owner=f"methods.{self.label}")
        self.heads = dict(run.task.knowledge.vocabulary.heads)  # type: ignore[attr-defined]

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        if self.inference.fallbacks:
            run.note(**{f"{self.label}.fallbacks": self.inference.fallbacks})
