"""Semantic loss: how improbable it is, by the model's own probabilities, that all rules hold.

Xu, Zhang, Friedman, Liang, Van den Broeck, "A Semantic Loss Function for Deep Learning with Symbolic Knowledge", ICML 2018
(arXiv 1711.11157).

    semantic = mean_b -log P(all rules hold | x_b) = mean_b -log sum_{states that satisfy them} prod_l P(l | x_b)

Exact: the satisfying states are enumerated once for each set of rules that share concepts, up to 1,000,000 joint states; a
count of binary concepts has a closed form at any size; beyond, PySDD compiles a circuit (`pip install kdzoo[circuits]`), as the
paper does. The paper's weight is 0.0005 for exactly-one constraints on MNIST and
0.25 to 0.5 for paths and rankings. Weights of single rules play no part: a state satisfies all of them or does not count.

Deviations: none in value.
"""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_knowledge.exact import jointly, total_log_probability
from kdzoo_knowledge.grounded import NEEDS, Grounded, per_sample


class SemanticLoss(Method):
    """No settings; its weight is that of its term."""

    def needs(self) -> Needs:
        return NEEDS

    def setup(self, run: RunContext) -> None:
        owner = f"methods.{self.label}"
        self.rules = Grounded(run, owner)
        self.parts = nn.ModuleList(jointly(theory, owner) for theory in self.rules.theories)

    @term(over=SAMPLES)
    def semantic(self, step: Step) -> Tensor:
        literals = self.rules.of(step)
        return per_sample(
            [-total_log_probability(list(parts.children()), own) for parts, own in zip(self.parts, literals, strict=True)], step
        )
