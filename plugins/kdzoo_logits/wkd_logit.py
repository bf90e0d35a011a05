"""WKD-L: move the student's probability mass onto the teacher's where it costs little between related classes.

Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation", NeurIPS 2024 (arXiv
2412.08139).

    wkd_logit = -mean_r p_t[y] log p_s[y] + gamma mean_r W(n_s, n_t)
    n = softmax(z / T) over the C - 1 classes that are not y; W = <plan, cost> of a Sinkhorn plan        z: (R, C), y: (R,)

The plan takes `iterations` steps with kernel exp(-cost / regularization). The gradient flows through all of them. CIFAR-100:
T 8, gamma 600, regularization 0.05, 10 iterations, the defaults here, and a weight that falls to 0 by a cosine after epoch
150 of 240; ImageNet (ResNet34 to ResNet18): T 2, gamma 30.

cost = 1 - exp(-sharpness d) with d = 1 - cosine of the rows of the teacher's classifier, as the released code offers; the
authors' main results measure d by a linear CKA of class features, which takes a pass over the training set and is not done
here. Soft targets use their top class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kdzoo.errors import CapabilityError
from kdzoo.functional.decouple import off_label, other_classes
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.functional.normalized_kd import confident_label_loss
from kdzoo.functional.row_mean import row_mean
from kdzoo.models.tap_names import classifier_of
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_logits.task_checks import labels, other_classes_there


@in_float32
def sinkhorn_distance(
    source: Tensor, target: Tensor, cost: Tensor, *, regularization: float = 0.05, iterations: int = 10
) -> Tensor:
    """`<plan, cost>` per row: distributions (R, N) and costs (R, N, N) to (R,). 1e-8 keeps the divisions finite."""
    kernel = (-cost / regularization).exp()
    u = torch.full_like(source, 1 / source.shape[-1])
    for _ in range(iterations):
        v = target / ((kernel.mT @ u.unsqueeze(-1)).squeeze(-1) + 1e-8)
        u = source / ((kernel @ v.unsqueeze(-1)).squeeze(-1) + 1e-8)
    return (u.unsqueeze(-1) * kernel * v.unsqueeze(-2) * cost).sum((-2, -1))


@in_float32
def non_target_transport(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    cost: Tensor,
    *,
    temperature: float = 8.0,
    regularization: float = 0.05,
    iterations: int = 10,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean transport cost between the distributions over the classes that are not the label; `cost` is (C, C)."""
    label = hard_label(target)
    others = other_classes(label, student.shape[-1])
    cost = cost.to(student.dtype).relu()[others.unsqueeze(-1), others.unsqueeze(-2)] + 1e-8
    n_s, n_t = ((off_label(z, label) / temperature).softmax(-1) for z in (student, teacher))
    return row_mean(sinkhorn_distance(n_s, n_t, cost, regularization=regularization, iterations=iterations), weight)


def class_distance(classifier: Tensor) -> Tensor:
    """(C, C) distances `1 - cosine` between the rows of a classifier's weight (C, d)."""
    rows = functional.normalize(classifier.float(), dim=-1)
    return 1 - rows @ rows.mT


class WKDLogit(Method):
    """Args: temperature: T > 0. gamma: what the transport weighs. regularization, iterations: of Sinkhorn's algorithm.
    sharpness: how fast the cost saturates with the distance of two classes."""

    distance: Tensor

    def __init__(
        self,
        *,
        temperature: float = 8.0,
        gamma: float = 600.0,
        regularization: float = 0.05,
        iterations: int = 10,
        sharpness: float = 1.0,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, regularization=regularization, iterations=iterations, sharpness=sharpness)
        at_least(0, gamma=gamma)
        self.temperature, self.gamma = temperature, gamma
        self.regularization, self.iterations, self.sharpness = regularization, iterations, sharpness

    def needs(self) -> Needs:
        return Needs(teacher=True, capabilities=frozenset({"classes"}))

    def setup(self, run: RunContext) -> None:
        other_classes_there(self, run)
        name = run.teacher_of(self)
        model = run.teachers[name].model
        if model is None:
            raise CapabilityError(
                f"methods.{self.label} measures how far classes are apart by the classifier of teacher {name!r}, which has no "
                "model behind it; use a teacher with one (frozen, trainable)."
            )
        self.register_buffer("distance", class_distance(classifier_of(model).weight.detach()))

    @term(over=LABELS)
    def wkd_logit(self, step: Step) -> Tensor:
        rows = step.student.rows
        given = rows.logits, step.teacher.rows.logits, labels(step)
        moved = non_target_transport(
            *given,
            1 - (-self.sharpness * self.distance).exp(),
            temperature=self.temperature,
            regularization=self.regularization,
            iterations=self.iterations,
            weight=rows.weight_of_labels,
        )
        return confident_label_loss(*given, weight=rows.weight_of_labels) + self.gamma * moved
