"""Gumbel constraints: truth degrees of sampled classes in the place of probabilities.

Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017 (arXiv 1611.01144). DomiKnowS's Gumbel programs
use it under t-norm constraints.

    gumbel = mean_b sum_k w_k (1 - t_k(x~_b)),  x~ = softmax((log p + g) / T)  for each choice

`straight` takes the sampled class itself, with the gradient of the soft sample. `temperature` may follow a schedule; DomiKnowS
lets it fall linearly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_knowledge.grounded import NEEDS, Grounded, per_sample, uniform
from kdzoo_knowledge.logic.gumbel import gumbel_softmax
from kdzoo_knowledge.logic.truth import Implication, TNorm
from kdzoo_knowledge.theory import Theory


class GumbelConstraint(Method):
    """Args: temperature: T > 0. straight: see above. tnorm, implication: as of `tnorm_constraint`."""

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        straight: bool = False,
        tnorm: TNorm = "product",
        implication: Implication = "strong",
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature, self.straight = temperature, straight
        self.tnorm: TNorm = tnorm
        self.implication: Implication = implication

    def needs(self) -> Needs:
        return NEEDS

    def setup(self, run: RunContext) -> None:
        self.rules = Grounded(run, f"methods.{self.label}")

    @term(over=SAMPLES)
    def gumbel(self, step: Step) -> Tensor:
        losses = []
        for number, (theory, literals, weights) in enumerate(self.rules.weighted(step)):
            held = self._sampled(theory, literals, step, number)
            truth = theory.degrees(held.index_select(1, theory.positive), self.tnorm, self.implication)
            losses.append((1 - truth) @ weights)
        return per_sample(losses, step)

    def _sampled(self, theory: Theory, literals: Tensor, step: Step, number: int) -> Tensor:
        """(G, L): a sample of each choice."""
        drawn = uniform(step, f"gumbel.{number}", len(literals), theory.literals)
        held = torch.zeros_like(literals)
        for choice in theory.choices:
            own = slice(choice[0], choice[-1] + 1, choice[1] - choice[0])
            held[:, own] = gumbel_softmax(literals[:, own], drawn[:, own], temperature=self.temperature, straight=self.straight)
        return held
