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

import torch
from torch import Tensor

from kdzoo.functional.decouple import at_label, label_or_not
from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_logits.task_checks import labels, other_classes_there


@in_float32
def sample_confidence_kl(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """SCD: `T^2 * mean_r KL` of two-event distributions, the teacher's about its own top class. Logits (R, C)."""
    log_s = label_or_not(student / temperature, hard_label(target))
    log_t = label_or_not(teacher / temperature, teacher.argmax(-1))
    return temperature**2 * row_mean(kl_rows(log_s, log_t), weight)


@in_float32
def masked_correlation_kl(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None
) -> Tensor:
    """MCD: `T^2 * mean_r KL` over the classes whose teacher logit is below the label's. Logits (R, C)."""
    dropped = teacher >= at_label(teacher, hard_label(target)).unsqueeze(-1)
    some = ~dropped.all(-1)
    hidden = dropped & some.unsqueeze(-1)
    log_s, log_t = ((z / temperature).masked_fill(hidden, -torch.inf).log_softmax(-1) for z in (student, teacher))
    return temperature**2 * row_mean(some * kl_rows(log_s, log_t), weight)


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
        self.temperature, self.confidence_temperature = temperature, confidence_temperature
        self.alpha, self.beta = alpha, beta

    def needs(self) -> Needs:
        return Needs(teacher=True)

    def setup(self, run: RunContext) -> None:
        other_classes_there(self, run)

    @term()
    def rld(self, step: Step) -> Tensor:
        rows = step.student.rows
        given = rows.logits, step.teacher.rows.logits, labels(step)
        scd = sample_confidence_kl(*given, temperature=self.confidence_temperature, weight=rows.weight)
        mcd = masked_correlation_kl(*given, temperature=self.temperature, weight=rows.weight)
        return self.alpha * scd + self.beta * mcd
