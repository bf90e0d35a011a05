"""DIST: correlate the student's and the teacher's predictions, per sample and per class, in place of an exact match.

Huang, You, Wang, Qian, Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022 (arXiv 2205.10536).

    dist = beta T^2 (1 - mean_r rho(P_s[r, :], P_t[r, :])) + gamma T^2 (1 - mean_c rho(P_s[:, c], P_t[:, c]))
    P = softmax(z / T): (R, C); rho: Pearson's correlation, 1e-8 added to the product of norms

The authors' configurations: weight 2, beta = gamma = 1; CIFAR-100 T 4; ImageNet T 1; labels at weight 1.

Deviations: none in value. The class part depends on which samples share a batch, so the whole batch is needed (the released
code correlates within each GPU). Row weights enter the class part as a weighted correlation.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.correlation import inter_class, intra_class
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least


class DIST(Method):
    """Args: temperature: T > 0. beta, gamma: what the sample part and the class part weigh."""

    def __init__(self, *, temperature: float = 4.0, beta: float = 1.0, gamma: float = 1.0) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, beta=beta, gamma=gamma)
        self.temperature, self.beta, self.gamma = temperature, beta, gamma

    def needs(self) -> Needs:
        return Needs(teacher=True, whole_batch=True)

    @term(weight=2.0)
    def dist(self, step: Step) -> Tensor:
        rows = step.student.rows
        given = rows.logits, step.teacher.rows.logits
        inter = inter_class(*given, temperature=self.temperature, weight=rows.weight)
        intra = intra_class(*given, temperature=self.temperature, weight=rows.weight)
        return self.beta * inter + self.gamma * intra
