"""KD: the student matches the teacher's softened distribution.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv 1503.02531).

    kd = T^2 * mean_r KL(softmax(z_t / T) || softmax(z_s / T))        z_s, z_t: (R, C)

The factor T^2 keeps the gradient's size, T (p_s - p_t) / R, when T changes. Add `hard_label` for the labels.

In practice: CIFAR-100 at T 4 with weights 0.1 (labels) and 0.9 (kd), RepDistiller and mdistiller; ImageNet at T 1 with 0.5
and 0.5. The default weight here is 1, since the weights of a pair belong in a recipe. No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.divergence import softened_kl
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above


class KD(Method):
    """Args: temperature: T > 0; 4 is the CIFAR-100 protocol's."""

    def __init__(self, *, temperature: float = 4.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature = temperature

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def kd(self, step: Step) -> Tensor:
        rows = step.student.rows
        return softened_kl(rows.logits, step.teacher.rows.logits, temperature=self.temperature, weight=rows.weight)
