"""Primal-dual constraints: each rule has a Lagrange multiplier that grows while the rule is broken.

Nandwani, Pathak, Mausam, Singla, "A Primal Dual Formulation for Deep Learning with Constraints", NeurIPS 2019.

    augmented = sum_k min(lambda_k, cap_k) v_k        v_k = mean_b violation of rule k
    lambda_k <- max(0, lambda_k + eta_u v_k),  eta_u = rate / sqrt(1 + decay u)  at the u-th update

`violation: tnorm` takes 1 - truth under a t-norm, `semantic` the exact -log P(rule k holds). Multipliers start at `start` and
are updated first after `warmup` steps, then every `every` steps, each time `increase` steps later than the last. The cap of a
rule of priority p is -log(1 - p / 100) as in DomiKnowS; priority 100 has none to speak of. They are buffers, so checkpoints
have them, and the log shows them as `lambda.<rule>`. `ascent: adam` is DomiKnowS's: Adam at 0.05, multipliers from 1, rate
falling as sqrt((k + 1) / (k + 2)).

DomiKnowS: warmup 10, every 10, increase 5. Deviations: none in value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_knowledge.exact import by_rule
from kdzoo_knowledge.grounded import NEEDS, Grounded
from kdzoo_knowledge.logic.multipliers import adam_ascended, ascended, cap, decayed, updates_before
from kdzoo_knowledge.logic.truth import Implication, TNorm

VIOLATION, WEIGHT = "violation", "size"


class PrimalDual(Method):
    """Multipliers for rules.

    Args:
        violation: see above. tnorm, implication: of `tnorm`.
        rate, decay: of the ascent. start: of the multipliers.
        warmup, every, increase: in optimizer steps.
        ascent: `projected` gradient, or DomiKnowS's `adam`, whose decay is fixed.
    """

    multipliers: Tensor
    caps: Tensor

    def __init__(
        self,
        *,
        violation: Literal["tnorm", "semantic"] = "tnorm",
        tnorm: TNorm = "product",
        implication: Implication = "residuum",
        rate: float = 0.5,
        decay: float = 1.0,
        start: float = 0.0,
        warmup: int = 10,
        every: int = 10,
        increase: int = 0,
        ascent: Literal["projected", "adam"] = "projected",
    ) -> None:
        super().__init__()
        above(0, rate=rate)
        at_least(0, decay=decay, start=start, warmup=warmup, every=every, increase=increase)
        self.violation, self.ascent = violation, ascent
        self.tnorm: TNorm = tnorm
        self.implication: Implication = implication
        self.rate, self.decay, self.start = rate, decay, start
        self.warmup, self.every, self.increase = warmup, every, increase

    def needs(self) -> Needs:
        return NEEDS

    def setup(self, run: RunContext) -> None:
        owner = f"methods.{self.label}"
        self.rules = Grounded(run, owner)
        semantic = self.violation == "semantic"
        self.parts = nn.ModuleList(by_rule(theory, owner) for theory in self.rules.theories) if semantic else nn.ModuleList()
        count = len(self.rules.names)
        self.register_buffer("multipliers", torch.full((count,), self.start))
        self.register_buffer("moments", torch.zeros(2, count))
        self.register_buffer("caps", torch.tensor([cap(p / 100) for p in self.rules.priorities]), persistent=False)

    @term(over=SAMPLES)
    def augmented(self, step: Step) -> Tensor:
        violations = self.violations(step)
        step.stash[VIOLATION], step.stash[WEIGHT] = violations.detach(), step.batch.size
        return torch.minimum(self.multipliers, self.caps) @ violations

    def violations(self, step: Step) -> Tensor:
        """(K,): means over samples, each rule's times its weight."""
        found = []
        for number, (theory, literals) in enumerate(zip(self.rules.theories, self.rules.of(step), strict=True)):
            if self.violation == "semantic":
                parts = self.parts[number]
                broken = torch.stack([-part(literals) for part in parts.children()], 1)
            else:
                broken = 1 - theory.degrees(theory.truths(literals), self.tnorm, self.implication)
            found.append(broken.sum(0) / step.batch.size)
        return torch.cat(found) * self.rules.weights

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        steps = [step for step in steps if VIOLATION in step.stash]
        done = updates_before(run.progress.step + 1, warmup=self.warmup, every=self.every, increase=self.increase)
        before = updates_before(run.progress.step, warmup=self.warmup, every=self.every, increase=self.increase)
        if not steps or done == before:
            return
        self.ascend(self._mean(steps, run), done - 1)
        run.note(
            **{f"{self.label}.lambda.{name}": value for name, value in zip(self.rules.names, self.multipliers, strict=True)}
        )

    def ascend(self, violations: Tensor, updates: int) -> None:
        """Move the multipliers; `updates` came before."""
        if self.ascent == "projected":
            self.multipliers.copy_(ascended(self.multipliers, violations, rate=decayed(self.rate, updates, self.decay)))
            return
        below = (self.multipliers <= self.caps).to(violations.dtype)
        moved, moments = adam_ascended(
            self.multipliers, violations * below, self.get_buffer("moments"), rate=self.rate, updates=updates
        )
        self.multipliers.copy_(moved)
        self.get_buffer("moments").copy_(moments)

    def _mean(self, steps: Sequence[Step], run: RunContext) -> Tensor:
        """(K,): over all micro-batches and processes."""
        sums = torch.stack([step.stash[VIOLATION] * step.stash[WEIGHT] for step in steps]).sum(0)
        sizes = torch.full_like(sums[:1], float(sum(step.stash[WEIGHT] for step in steps)))
        joined = run.gather(torch.cat([sums, sizes])[None]).sum(0)
        return joined[:-1] / joined[-1]
