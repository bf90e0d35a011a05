"""MLKD: match predictions per sample, between samples and between classes, at several temperatures, on two views.

Jin, Wang, Lin, "Multi-level Logit Distillation", CVPR 2023.

    sample = T^2 mean_r KL(P_t || P_s)     batch = ||P_t P_t' - P_s P_s'||_F^2 / B     class = ||P_t' P_t - P_s' P_s||_F^2 / C
    P = softmax(z / T): (B, C), for T in (4, 3, 5, 2, 6)

The weak view is the usual crop and flip, the strong one adds what the task calls strong (here shifts,
jitter and cutout, where the authors take RandAugment); the three levels weigh 0.9, and labels are learned
on both views at 0.1 each: `hard_label` and `strong_label: {use: hard_label, view: strong}`. The published rows also train
longer than the usual 240 epochs (480 to 960 for many pairs), so they are not matched in compute.

Followed as released, since the numbers come from that code: each level is already a mean when the "least confident half"
masks are applied, so a mask only scales it by the share that it keeps; the strong view's sample level takes T 4, 3 and 5 from
the strong view and T 2 and 6 from the weak one again, unmasked; batch and class level use the weak view only.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.float32 import in_float32
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above

BOTH_VIEWS, WEAK_ONLY = (4.0, 3.0, 5.0), (2.0, 6.0)


@in_float32
def batch_relation(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Squared gap between the (B, B) products of predictions, over B: logits (B, C)."""
    p_s, p_t = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    return (p_t @ p_t.mT - p_s @ p_s.mT).square().sum() / len(p_s)


@in_float32
def class_relation(student: Tensor, teacher: Tensor, *, temperature: float) -> Tensor:
    """Squared gap between the (C, C) products of predictions, over C: logits (B, C)."""
    p_s, p_t = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    return (p_t.mT @ p_t - p_s.mT @ p_s).square().sum() / p_s.shape[-1]


def lower_half(values: Tensor) -> Tensor:
    """True for the values up to the median, which for an even number of values lies between the middle two."""
    ordered, count = values.sort().values, values.shape[-1]
    return values <= (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


@in_float32
def unsure_samples(teacher: Tensor) -> Tensor:
    """(B,) True for the half of the samples that the teacher is least sure of."""
    return lower_half(teacher.softmax(-1).amax(-1))


@in_float32
def unsure_classes(teacher: Tensor) -> Tensor:
    """(C,) True for the half of the classes that the teacher predicts least over the batch."""
    return lower_half(teacher.softmax(-1).sum(0))


@in_float32
def sample_level(
    weak: tuple[Tensor, Tensor],
    strong: tuple[Tensor, Tensor],
    *,
    both: tuple[float, ...] = BOTH_VIEWS,
    weak_only: tuple[float, ...] = WEAK_ONLY,
    weight: Tensor | None = None,
) -> Tensor:
    """The sample level over temperatures and views; each view is (student, teacher), logits (B, C)."""
    at_weak = [softened_kl(*weak, temperature=t, weight=weight) for t in (*both, *weak_only)]
    at_strong = [softened_kl(*strong, temperature=t, weight=weight) for t in both]
    kept = unsure_samples(weak[1]).to(weak[0].dtype).mean()
    return kept * sum(at_weak) + sum(at_strong) + sum(at_weak[len(both) :])


@in_float32
def batch_level(student: Tensor, teacher: Tensor, *, temperatures: tuple[float, ...] = BOTH_VIEWS + WEAK_ONLY) -> Tensor:
    """The batch level over temperatures, scaled by the share of unsure samples: logits (B, C) of the weak view."""
    kept = unsure_samples(teacher).to(student.dtype).mean()
    return kept * sum(batch_relation(student, teacher, temperature=t) for t in temperatures)


@in_float32
def class_level(student: Tensor, teacher: Tensor, *, temperatures: tuple[float, ...] = BOTH_VIEWS + WEAK_ONLY) -> Tensor:
    """The class level over temperatures, scaled by the share of unsure classes: logits (B, C) of the weak view."""
    kept = unsure_classes(teacher).to(student.dtype).mean()
    return kept * sum(class_relation(student, teacher, temperature=t) for t in temperatures)


class MLKD(Method):
    """Match predictions at three levels.

    Args:
        temperatures: of all three levels on the weak view, and of the sample level on the strong one.
        weak_only: further temperatures, which the strong view does not have. The defaults are those for CIFAR-100.
    """

    def __init__(self, *, temperatures: Sequence[float] = BOTH_VIEWS, weak_only: Sequence[float] = WEAK_ONLY) -> None:
        super().__init__()
        above(0, temperatures=temperatures, weak_only=weak_only)
        if not temperatures:
            raise ValueError("temperatures must name at least one, e.g. 4")
        self.temperatures, self.weak_only = tuple(temperatures), tuple(weak_only)

    def needs(self) -> Needs:
        return Needs(teacher=True, views=frozenset({"strong"}), whole_batch=True, capabilities=frozenset({"classes"}))

    @term(weight=0.9)
    def sample(self, step: Step) -> Tensor:
        strong = step.views["strong"]
        return sample_level(
            _pair(step), _pair(strong), both=self.temperatures, weak_only=self.weak_only, weight=step.student.rows.weight
        )

    @term(weight=0.9)
    def batch(self, step: Step) -> Tensor:
        return batch_level(*_pair(step), temperatures=self.temperatures + self.weak_only)

    @term(weight=0.9)
    def classwise(self, step: Step) -> Tensor:
        return class_level(*_pair(step), temperatures=self.temperatures + self.weak_only)


def _pair(step: Step) -> tuple[Tensor, Tensor]:
    return step.student.rows.logits, step.teacher.rows.logits
