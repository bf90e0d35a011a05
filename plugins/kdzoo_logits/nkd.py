"""NKD: the teacher's confidence scales the label loss, and the normalized other classes are matched.

Yang, Zeng, Li, Zhang, Yuan, Li, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
Normalized Loss and Customized Soft Labels", ICCV 2023 (arXiv 2303.13005).

    nkd = -mean_r p_t[y] log p_s[y]  -  gamma T^2 mean_r sum_{k != y} n_t[k] log n_s[k]
    p at temperature 1; n = softmax(z / T) over the classes that are not y                                z: (R, C), y: (R,)

It is added to the ordinary label loss. ImageNet (ResNet34 to ResNet18): T 1, gamma 1.5, the defaults here; CIFAR-100
(ResNet34 to ResNet18): T 3, gamma 3.5.

Deviations: none. A cross-entropy, so identical logits do not give zero but the teacher's entropy. Soft targets use their top
class.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.normalized_kd import confident_label_loss, non_target_cross_entropy
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_logits.task_checks import labels, other_classes_there


class NKD(Method):
    """Args: temperature: T > 0 of the other classes. gamma: what they weigh."""

    def __init__(self, *, temperature: float = 1.0, gamma: float = 1.5) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, gamma=gamma)
        self.temperature, self.gamma = temperature, gamma

    def needs(self) -> Needs:
        return Needs(teacher=True)

    def setup(self, run: RunContext) -> None:
        other_classes_there(self, run)

    @term(over=LABELS)
    def nkd(self, step: Step) -> Tensor:
        rows = step.student.rows
        given = rows.logits, step.teacher.rows.logits, labels(step)
        others = non_target_cross_entropy(*given, temperature=self.temperature, weight=rows.weight_of_labels)
        return confident_label_loss(*given, weight=rows.weight_of_labels) + self.gamma * others
