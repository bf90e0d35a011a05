"""DKD: KD split into the target class against the rest (TCKD) and the rest among themselves (NCKD), weighed apart.

Zhao, Cui, Song, Qiu, Liang, "Decoupled Knowledge Distillation", CVPR 2022 (arXiv 2203.08679).

    dkd = alpha T^2 mean_r KL(b_t || b_s) + beta T^2 mean_r KL(n_t || n_s)
    b = (p_y, 1 - p_y) at temperature T; n = softmax(z / T) over the C - 1 classes that are not y        z: (R, C), y: (R,)

CIFAR-100: T 4, alpha 1, beta 8 (6 or 2 for the weaker teachers), labels at weight 1, and the term's weight warmed up over 20
epochs (`schedules: {methods.dkd.weights.dkd: {use: warmup, until: 20}}`); ImageNet: T 1, beta 0.5 (ResNet34 to ResNet18), one
epoch of warm-up. The warm-up is the recipe's business.

Deviations: none in value. The released code subtracts 1000 from the label's logit and takes log(p) without guard; here both
parts stay in log space. With two classes NCKD is empty, so the method refuses them. Soft targets use their top class.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.decoupled_kd import non_target_kl, target_class_kl
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_logits.task_checks import labels, other_classes_there


class DKD(Method):
    """Args: temperature: T > 0. alpha, beta: what TCKD and NCKD weigh."""

    def __init__(self, *, temperature: float = 4.0, alpha: float = 1.0, beta: float = 8.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, alpha=alpha, beta=beta)
        self.temperature, self.alpha, self.beta = temperature, alpha, beta

    def needs(self) -> Needs:
        return Needs(teacher=True)

    def setup(self, run: RunContext) -> None:
        other_classes_there(self, run)

    @term(over=LABELS)
    def dkd(self, step: Step) -> Tensor:
        rows = step.student.rows
        given = rows.logits, step.teacher.rows.logits, labels(step)
        tckd = target_class_kl(*given, temperature=self.temperature, weight=rows.weight_of_labels)
        nckd = non_target_kl(*given, temperature=self.temperature, weight=rows.weight_of_labels)
        return self.alpha * tckd + self.beta * nckd
