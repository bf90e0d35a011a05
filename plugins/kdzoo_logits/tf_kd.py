"""Tf-KD (regularization): a made-up teacher that is right with high probability and otherwise indifferent.

Yuan, Tay, Li, Wang, Feng, "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020.

    tf_kd = mean over rows AND classes of u log(u / p_s)        u = softmax(q / T), p_s = softmax(z_s)        z_s: (R, C)
    q: `correct` on the label, (1 - correct) / (C - 1) elsewhere

As the released code has it: the probabilities q go through a second, tempered softmax, the student has no temperature, there
is no T^2, and the mean is taken over the classes too, which makes the term C times smaller than a usual KL. The total is
(1 - alpha) CE + alpha multiplier tf_kd, so set the weights `hard_label: 1 - alpha` and `tf_kd: alpha * multiplier`. The code's
settings: correct 0.99; alpha 0.95, T 40 (MobileNetV2); alpha 0.95, T 10 (ShuffleNetV2); alpha 0.1, T 20, multiplier 100
(ResNet-18); alpha 0.5, T 40 (ResNeXt-29). The default T, 20, is that of ResNet-18.

Tf-KD (self) is `kd` with a trained copy of the student as the teacher and the weight alpha * multiplier / C. The `virtual`
teacher gives q's kind of answers to any other method.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import smooth_off_label
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, between
from kdzoo_logits.task_checks import labeled, labels


@in_float32
def virtual_teacher_kl(
    student: Tensor,
    target: Tensor,
    *,
    correct: float = 0.99,
    temperature: float = 20.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Mean over rows and classes of `u log(u / p_s)`: logits (R, C), target (R,) or (R, C)."""
    log_u = (smooth_off_label(target, student, 1 - correct) / temperature).log_softmax(-1)
    return row_mean(kl_rows(student.log_softmax(-1), log_u), weight) / student.shape[-1]


class TfKD(Method):
    """Args: correct: the virtual teacher's probability of the label. temperature: T > 0 of its second softmax."""

    def __init__(self, *, correct: float = 0.99, temperature: float = 20.0) -> None:
        super().__init__()
        between(0, 1, correct=correct)
        above(0, temperature=temperature)
        self.correct, self.temperature = correct, temperature

    def setup(self, run: RunContext) -> None:
        labeled(self, run)

    @term(weight=0.95, over=LABELS)
    def tf_kd(self, step: Step) -> Tensor:
        rows = step.student.rows
        return virtual_teacher_kl(
            rows.logits, labels(step), correct=self.correct, temperature=self.temperature, weight=rows.weight_of_labels
        )
