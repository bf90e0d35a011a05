"""Gradient-based inference: at test time the logits are moved until the rules hold.

Lee, Mehta, Wick, Tristan, Carbonell, "Gradient-Based Inference for Networks with Output Constraints", AAAI 2019 (arXiv
1707.08608). DomiKnowS has it with up to 50 steps at rate 0.1 and weight decay towards the start.

    z <- z - rate grad_z [-log P(all rules hold; z) + weight |z - z_0|^2]        until no rule is broken, for each sample by
    itself

Deviation: the logits move, not the network's weights (the authors move a copy of them for each sample). A sample that keeps the
rules at once is left alone; one that still breaks them after all steps is given as it is then. How many steps there are depends
on the images, so the deployed model cannot become an ONNX graph; that of `constrained_inference` with `exact` can.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.ranges import above, at_least
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.exact import jointly, total_log_probability
from kdzoo_knowledge.grounded import NEEDS, Grounded, sample_theory
from kdzoo_knowledge.inference.most_probable import likeliest
from kdzoo_knowledge.tasks.heads import cut
from kdzoo_knowledge.theory import Theory


class GradientInference(Method):
    """Args: steps: at most. rate: of a step. weight: of the squared distance from the model's logits."""

    def __init__(self, *, steps: int = 50, rate: float = 0.1, weight: float = 0.01) -> None:
        super().__init__()
        at_least(1, steps=steps)
        above(0, rate=rate)
        at_least(0, weight=weight)
        self.steps, self.rate, self.weight = steps, rate, weight

    def needs(self) -> Needs:
        return NEEDS

    def deploy(self, run: RunContext) -> nn.Module:
        owner = f"methods.{self.label}"
        theory = sample_theory(Grounded(run, owner), owner)
        parts = jointly(theory, owner)
        heads = tuple(run.task.knowledge.vocabulary.heads.values())  # type: ignore[attr-defined]
        moved = Moved(run.student, heads, theory, parts, steps=self.steps, rate=self.rate, weight=self.weight)
        return moved.to(run.device)


class Moved(nn.Module):
    """A model whose logits are moved by the rules."""

    def __init__(
        self,
        model: nn.Module,
        heads: tuple[Head, ...],
        theory: Theory,
        parts: nn.ModuleList,
        *,
        steps: int,
        rate: float,
        weight: float,
    ) -> None:
        super().__init__()
        self.model, self.own, self.theory, self.parts = model, heads, theory, parts
        self.steps, self.rate, self.weight = steps, rate, weight

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        answer = self.model(*inputs, **named)
        start = answer.detach().float()
        logits = start.clone()
        for _ in range(self.steps):
            broken = self._broken(logits)
            if not broken.any():
                break
            with torch.enable_grad():
                moving = logits.detach().requires_grad_()
                loss = -total_log_probability(self.parts, self._literals(moving)).sum()
                (gradient,) = torch.autograd.grad(loss + self.weight * (moving - start).square().sum(), moving)
            logits = torch.where(broken[:, None], logits - self.rate * gradient, logits)
        moved: Tensor = answer + (logits - start)
        return moved

    def _literals(self, logits: Tensor) -> Tensor:
        return self.theory.log_literals({("", name): part for name, part in cut(logits, self.own).items()})

    def _broken(self, logits: Tensor) -> Tensor:
        """(B,): whether the decisions break a rule."""
        return ~self.theory.holds(likeliest(self.theory, self._literals(logits.detach()))).all(1)
