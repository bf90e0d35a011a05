"""WSLD: soft labels count more for samples that the student finds hard and the teacher easy.

Zhou, Song, Chen, Zhou, Wang, Yuan, Zhang, "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance Tradeoff
Perspective", ICLR 2021 (arXiv 2102.00650).

    wsld = T^2 mean_r w_r H(softmax(z_t / T)_r, softmax(z_s / T)_r)        w = 1 - exp(-CE(z_s, y) / (CE(z_t, y) + 1e-7))
    z: (R, C), y: (R,); w at temperature 1, without gradient; H the cross-entropy

It is added to the label loss. CIFAR-100: T 4, weight 2.25, the defaults here; ImageNet: T 2, weight 2.5. No deviations.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_logits.task_checks import labeled, labels


@in_float32
def difficulty(student: Tensor, teacher: Tensor, target: Tensor) -> Tensor:
    """The weight w per row, 0 to 1, without gradient: logits (R, C), target (R,) or (R, C)."""
    label = hard_label(target)
    ce_s, ce_t = (functional.cross_entropy(z, label, reduction="none") for z in (student, teacher))
    return (1 - (-ce_s / (ce_t + 1e-7)).exp()).detach()


@in_float32
def weighted_soft_labels(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 4.0, weight: Tensor | None = None
) -> Tensor:
    """`T^2 * mean_r w_r H(p_t, p_s)` at the temperature."""
    rows = -((teacher / temperature).softmax(-1) * (student / temperature).log_softmax(-1)).sum(-1)
    return temperature**2 * row_mean(difficulty(student, teacher, target) * rows, weight)


class WSLD(Method):
    """Args: temperature: T > 0 of the soft labels."""

    def __init__(self, *, temperature: float = 4.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature = temperature

    def needs(self) -> Needs:
        return Needs(teacher=True)

    def setup(self, run: RunContext) -> None:
        labeled(self, run)

    @term(weight=2.25, over=LABELS)
    def wsld(self, step: Step) -> Tensor:
        rows = step.student.rows
        given = rows.logits, step.teacher.rows.logits, labels(step)
        return weighted_soft_labels(*given, temperature=self.temperature, weight=rows.weight_of_labels)
