"""USKD: a student teaches itself with customized soft labels, by its confidence and by an intermediate head's ranking.

Yang, Zeng, Li, Zhang, Yuan, Li, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
Normalized Loss and Customized Soft Labels", ICCV 2023 (arXiv 2303.13005).

    uskd = alpha target + beta others + mu weak
    target = -mean_r c_r log p_r[y]          c = p[y]^2 + 1 - mean_r p[y]^2, without gradient
    others = -mean_r sum_{k != y} q_rk log n_rk    n: softmax(z) without the label; q: Zipf 1 / rank, normalized, no gradient
    weak   = H(smoothed label (0.1), softmax(W f + b))        z: (R, C) logits, f: (R, d) pooled intermediate feature

The rank comes from the weak head's probabilities and the student's own predictions, each over its mass off the label. No
teacher; added to the ordinary label loss. The authors' values: ImageNet alpha 1, beta 0.1, mu 0.005 (the defaults here),
CIFAR-100 (ResNet18) 0.1, 0.1, 0.1; the feature is the map of the last stage but one (256 channels of ResNet18: `stage3`).

Followed as released: the student's part of the rank uses its log-probabilities, not its probabilities. Hard labels only (the
released code also treats mixed ones).
"""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.functional.decouple import at_label, off_label
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import cross_entropy, hard_label, smooth_labels
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_logits.task_checks import classes, labels, other_classes_there


@in_float32
def confident_self_label(student: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The target part: cross-entropy, each row scaled by how its confidence compares with the batch. Logits (R, C)."""
    log_p = at_label(student.log_softmax(-1), hard_label(target))
    confidence = (2 * log_p).exp().detach()
    return row_mean(-(confidence + 1 - row_mean(confidence, weight)) * log_p, weight)


@in_float32
def zipf_soft_labels(student: Tensor, weak: Tensor, target: Tensor) -> Tensor:
    """(R, C - 1) soft labels of the other classes: 1 / rank among all C classes, normalized, without gradient."""
    label = hard_label(target)

    def over_the_rest(values: Tensor) -> Tensor:
        return values / (1 - at_label(values, label).unsqueeze(-1) + 1e-6)

    score = over_the_rest(weak.softmax(-1)) + over_the_rest(student.log_softmax(-1))
    rank = score.argsort(-1, descending=True).argsort(-1)
    zipf = off_label(1 / (rank + 1).to(student.dtype), label)
    return (zipf / zipf.sum(-1, keepdim=True)).detach()


@in_float32
def self_distillation(
    student: Tensor,
    weak: Tensor,
    target: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 0.1,
    mu: float = 0.005,
    weight: Tensor | None = None,
) -> Tensor:
    """The whole loss from the student's logits and the weak head's, both (R, C)."""
    others = cross_entropy(off_label(student, hard_label(target)), zipf_soft_labels(student, weak, target), weight=weight)
    head = cross_entropy(weak, smooth_labels(target, weak, 0.1), weight=weight)
    return alpha * confident_self_label(student, target, weight=weight) + beta * others + mu * head


class USKD(Method):
    """Args: tap: the intermediate feature of the weak head; `stage2` is the last stage but one of the CIFAR families.
    alpha, beta, mu: what the target, the other classes and the weak head weigh."""

    def __init__(self, *, tap: str = "stage2", alpha: float = 1.0, beta: float = 0.1, mu: float = 0.005) -> None:
        super().__init__()
        at_least(0, alpha=alpha, beta=beta, mu=mu)
        self.tap, self.alpha, self.beta, self.mu = tap, alpha, beta, mu

    def needs(self) -> Needs:
        return Needs(student_taps=(self.tap,), whole_batch=True, capabilities=frozenset({"classes"}))

    def setup(self, run: RunContext) -> None:
        other_classes_there(self, run)
        self.head = nn.Linear(run.shapes(self)[self.tap][0], classes(run))

    @term(over=LABELS)
    def uskd(self, step: Step) -> Tensor:
        rows, feature = step.student.rows, step.student.features[self.tap]
        weak = self.head(feature.flatten(2).mean(-1) if feature.ndim > 2 else feature)
        weights = {"alpha": self.alpha, "beta": self.beta, "mu": self.mu}
        return self_distillation(rows.logits, weak, labels(step), **weights, weight=rows.weight_of_labels)
