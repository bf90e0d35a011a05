"""Sampled constraints: the semantic loss, estimated from states that are drawn from the model's own distribution.

Faghihi, Nafar, Zheng, Mirzaee, Zhang, Uszok, Wan, Premsri, Roth, Kordjamshidi, "GLUECons: A Generic Benchmark for Learning
Under Constraints", AAAI 2023 (arXiv 2302.10914).

    sampled = mean_b -log(sum_s m_s P_s / sum_s P_s)        m_s: whether state s satisfies the rules, P_s: its probability

`estimator`: over all samples (`ratio`), over different ones (`unique`, which tends to the semantic loss), or with the gradient
of REINFORCE and the mean as baseline (`score`). A sample of the data for which no drawn state satisfies the rules adds 0; their
share is logged as `unsatisfied`.

Deviations: DomiKnowS starts with a self-weighted square for 80 iterations and cuts the loss at 0.01; neither is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_knowledge.grounded import NEEDS, Grounded, per_sample, uniform
from kdzoo_knowledge.logic.sampling import draw, first_times, ratio_loss, score_loss, unique_loss
from kdzoo_knowledge.theory import Theory

UNSATISFIED = "unsatisfied"


class ConstraintSampling(Method):
    """Args: samples: states drawn for each grounding. estimator: see above."""

    def __init__(self, *, samples: int = 50, estimator: Literal["ratio", "unique", "score"] = "unique") -> None:
        super().__init__()
        at_least(1, samples=samples)
        self.samples, self.estimator = samples, estimator

    def needs(self) -> Needs:
        return NEEDS

    def setup(self, run: RunContext) -> None:
        self.rules = Grounded(run, f"methods.{self.label}")

    @term(over=SAMPLES)
    def sampled(self, step: Step) -> Tensor:
        losses, without = [], []
        for number, (theory, literals) in enumerate(zip(self.rules.theories, self.rules.of(step), strict=True)):
            loss, possible = self._estimated(theory, literals, step, number)
            losses.append(loss)
            without.append((~possible).to(loss.dtype).mean())
        step.stash[UNSATISFIED] = torch.stack(without).mean().detach()
        return per_sample(losses, step)

    def _estimated(self, theory: Theory, literals: Tensor, step: Step, number: int) -> tuple[Tensor, Tensor]:
        """The loss (G,), and whether any state that was drawn satisfies the rules (G,)."""
        states, weights = [], []
        held = torch.zeros(len(literals), self.samples, theory.literals, device=literals.device)
        for place, choice in enumerate(theory.choices):
            apart = choice[1] - choice[0]  # 1 in a softmax head; "true" and "false" of a binary class lie further apart
            own = literals[:, choice[0] : choice[-1] + 1 : apart]
            drawn = draw(own, uniform(step, f"{number}.{place}", len(literals), self.samples))
            states.append(drawn)
            weights.append(own.gather(1, drawn))
            held = held.scatter(2, (choice[0] + drawn * apart)[:, :, None], 1.0)
        satisfied = theory.holds(held).all(-1)
        log_weights = torch.stack(weights).sum(0)
        if self.estimator == "score":
            return score_loss(log_weights, satisfied), satisfied.any(1)
        if self.estimator == "ratio":
            return ratio_loss(log_weights, satisfied), satisfied.any(1)
        return unique_loss(log_weights, satisfied, first_times(torch.stack(states, -1))), satisfied.any(1)

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        shares = [step.stash[UNSATISFIED] for step in steps if UNSATISFIED in step.stash]
        if shares:
            run.note(**{f"{self.label}.{UNSATISFIED}": torch.stack(shares).mean()})
