"""T-norm constraints: a rule's truth degree under a t-norm, as a loss.

Faghihi, Guo, Uszok, Nafar, Raisi, Kordjamshidi, "DomiKnowS: A Library for Integration of Symbolic Domain Knowledge in Deep
Learning", EMNLP 2021 (demonstrations).

    violation = mean_b sum_k w_k (1 - t_k(x_b))        or, with `loss: log`, -log max(t_k, 1e-12)

t_k is the truth of rule k given the probabilities of its concepts, under Lukasiewicz, Godel or product logic (`logic.truth` has
the formulas). `implication` reads `if` as the residuum, which is fully true as soon as the conclusion is as probable as the
premise, or as `not premise or conclusion`.

Deviations from DomiKnowS: product `or`, 0 -> 0 and counts that always hold are right (see `logic.truth`), and all samples are
grounded at once.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo_knowledge.grounded import NEEDS, Grounded, per_sample
from kdzoo_knowledge.logic.truth import Implication, TNorm

SMALLEST = 1e-12


class TNormConstraint(Method):
    """Args: tnorm: of rules that name none. implication: see above. loss: of a truth degree."""

    def __init__(
        self,
        *,
        tnorm: TNorm = "product",
        implication: Implication = "residuum",
        loss: Literal["complement", "log"] = "complement",
    ) -> None:
        super().__init__()
        self.tnorm: TNorm = tnorm
        self.implication: Implication = implication
        self.loss = loss

    def needs(self) -> Needs:
        return NEEDS

    def setup(self, run: RunContext) -> None:
        self.rules = Grounded(run, f"methods.{self.label}")

    @term(over=SAMPLES)
    def violation(self, step: Step) -> Tensor:
        losses = []
        for theory, literals, weights in self.rules.weighted(step):
            truth = theory.degrees(theory.truths(literals), self.tnorm, self.implication)
            losses.append((1 - truth if self.loss == "complement" else -truth.clamp_min(SMALLEST).log()) @ weights)
        return per_sample(losses, step)
