"""CS-KD: the student's answers to two samples of one class are alike.

Yun, Park, Lee, Shin, "Regularizing Class-wise Predictions via Self-knowledge Distillation", CVPR 2020 (arXiv 2003.13964).

    cs_kd = T^2 mean_r KL(softmax(z' / T) || softmax(z / T))        z: (R, C), z' of another sample of the same class, detached

There is no teacher. Add `hard_label`, which sees the first samples only. The second samples are the task's view `same_class`,
one per sample, drawn anew each epoch. In the authors' code T 4, weight 1, 128 pairs a batch, 200 epochs. As there, the second
samples move BatchNorm's statistics.

Deviation: the second sample is always another one, where the released code may draw the same again (once in 500 on CIFAR-100).
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.divergence import softened_kl
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above

VIEW = "same_class"


class CSKD(Method):
    """Args: temperature: T > 0."""

    def __init__(self, *, temperature: float = 4.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature = temperature

    def needs(self) -> Needs:
        return Needs(views=frozenset({VIEW}))

    @term()
    def cs_kd(self, step: Step) -> Tensor:
        rows, other = step.student.rows, step.views[VIEW].student.rows
        return softened_kl(rows.logits, other.logits.detach(), temperature=self.temperature, weight=rows.weight)
