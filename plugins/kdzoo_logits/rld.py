"""RLD: the teacher's confidence and class relations, refined by the label instead of corrected by it.

Sun, Chen, Lyu, Chen, Chen, Wang, "Knowledge Distillation with Refined Logits" (arXiv 2408.07703).

    rld = alpha SCD + beta MCD
    SCD = A^2 mean_r KL((max p_t, 1 - max p_t) || (p_s[y], 1 - p_s[y]))                        p at temperature A
    MCD = T^2 mean_r KL over the classes that the teacher ranks below the label, softmax(z / T) within them
    z: (R, C), y: (R,)

SCD asks the student to be as sure of the label as the teacher is of its own guess; MCD drops the classes that the teacher
wrongly ranks at or above the label. Defaults of the authors' code: alpha 1, beta 8, A 1, T 4, the weight warmed up over 20
epochs (`schedules: {methods.rld.weights.rld: {use: warmup, until: 20}}`).

Deviation: where the label is the teacher's lowest class nothing is left for MCD; such a row adds 0 here, while the released
code subtracts 1e9 from every logit of it.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.refined_logits import masked_correlation_kl, sample_confidence_kl
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_logits.task_checks import labels, other_classes_there


class RLD(Method):
    """Args: temperature: T of MCD. confidence_temperature: A of SCD. alpha, beta: what SCD and MCD weigh."""

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        confidence_temperature: float = 1.0,
        alpha: float = 1.0,
        beta: float = 8.0,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, confidence_temperature=confidence_temperature)
        at_least(0, alpha=alpha, beta=beta)
        self.temperature, self.confidence_temperature = temperature, confidence_temperature
        self.alpha, self.beta = alpha, beta

    def needs(self) -> Needs:
        return Needs(teacher=True)

    def setup(self, run: RunContext) -> None:
        other_classes_there(self, run)

    @term(over=LABELS)
    def rld(self, step: Step) -> Tensor:
        rows = step.student.rows
        given = rows.logits, step.teacher.rows.logits, labels(step)
        scd = sample_confidence_kl(*given, temperature=self.confidence_temperature, weight=rows.weight_of_labels)
        mcd = masked_correlation_kl(*given, temperature=self.temperature, weight=rows.weight_of_labels)
        return self.alpha * scd + self.beta * mcd
