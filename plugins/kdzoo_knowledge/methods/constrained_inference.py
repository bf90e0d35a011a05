"""Constrained inference: the deployed model answers with the most probable state in which the rules hold.

    argmax over states that satisfy the hard rules of sum log p - what broken soft rules cost        (`inference.most_probable`)

It changes nothing in training. The deployed module gives logits whose largest class in each head is the inferred one: of a
softmax head the log-probabilities with the inferred class raised above all others, of a binary head logits with the inferred
sign. `exact` is tensors alone, so it can be exported; `milp` calls SciPy's HiGHS.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.ranges import above
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.grounded import NEEDS, Grounded, sample_theory
from kdzoo_knowledge.inference.most_probable import How, MostProbable
from kdzoo_knowledge.tasks.heads import cut
from kdzoo_knowledge.tasks.meter import decided_by
from kdzoo_knowledge.theory import Theory


class ConstrainedInference(Method):
    """Args: how, time_limit: of the inference; seconds for 64 samples, after which they keep their most probable classes."""

    def __init__(self, *, how: How = "auto", time_limit: float | None = 10.0) -> None:
        super().__init__()
        above(0, time_limit=time_limit)
        self.how, self.time_limit = how, time_limit

    def needs(self) -> Needs:
        return NEEDS

    def deploy(self, run: RunContext) -> nn.Module:
        owner = f"methods.{self.label}"
        theory = sample_theory(Grounded(run, owner), owner)
        made = Constrained(run.student, run.task.knowledge.vocabulary.heads, theory, how=self.how, time_limit=self.time_limit)  # type: ignore[attr-defined]
        return made.to(run.device)


class Constrained(nn.Module):
    """A model with inference behind it. Attributes: fallbacks, seconds: of all inference so far."""

    def __init__(self, model: nn.Module, heads: dict[str, Head], theory: Theory, *, how: How, time_limit: float | None) -> None:
        super().__init__()
        self.model, self.own = model, tuple(heads.values())
        self.theory = theory
        self.inference = MostProbable(theory, how=how, time_limit=time_limit, owner="methods.constrained_inference")
        self.fallbacks, self.seconds = 0, 0.0

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        parts = cut(self.model(*inputs, **named), self.own)
        found = self.inference(self.theory.log_literals({("", name): part for name, part in parts.items()}))
        self.fallbacks, self.seconds = self.fallbacks + found.fallbacks, self.seconds + found.seconds
        decided = decided_by(self.theory, found.literals)
        return torch.cat([with_decision(parts[h.name], h, decided.get(h.name)) for h in self.own], 1)


def with_decision(logits: Tensor, head: Head, decided: Tensor | None) -> Tensor:
    """Logits whose decision is the given one: classes (B,), or 0 and 1 (B, n); None leaves them as they are."""
    if decided is None:
        return logits
    if head.binary:
        return logits.abs().clamp_min(1e-3) * (2 * decided.to(logits.dtype) - 1)
    top = logits.amax(1, keepdim=True)
    chosen = torch.arange(logits.shape[1], device=logits.device) == decided[:, None]
    return torch.where(chosen, top + 1, logits)
