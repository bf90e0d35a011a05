"""Mean teacher: the student's answer is consistent with that of its own moving average on another view of the sample.

Tarvainen, Valpola, "Mean teachers are better role models: Weight-averaged consistency targets improve semi-supervised deep
learning results", NeurIPS 2017 (arXiv 1703.01780).

    consistency = mean_r mean_c (softmax(z_s(x)) - softmax(z_t(x')))^2        z: (R, C), x' another augmentation of x

The teacher is the moving average: `teacher: {use: ema, momentum: 0.99}`; add `hard_label`. In the authors' PyTorch code:
CIFAR-10 weight 100, ramped up over 5 epochs by exp(-5 (1 - t)^2), momentum 0.97 with 1000 and 0.99 with 4000 labels; on
ImageNet instead KL at weight 10, momentum 0.9997.

Deviations: the `ema` teacher answers in eval mode with the student's BatchNorm statistics, where the released teacher
normalizes by its own batches, and its momentum does not start low; no second student head with a logit distance; no unlabeled
samples. The engine lets the student look at x' too, which costs a forward.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.float32 import in_float32
from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step

VIEW = "second"


@in_float32
def probability_gap(student: Tensor, teacher: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean over rows and classes of the squared gap between the two softmaxes: logits (R, C)."""
    return row_mean((student.softmax(-1) - teacher.softmax(-1)).square().mean(-1), weight)


class MeanTeacher(Method):
    """Consistency with the teacher on the task's view `second`."""

    def needs(self) -> Needs:
        return Needs(teacher=True, views=frozenset({VIEW}))

    @term(weight=100.0)
    def consistency(self, step: Step) -> Tensor:
        rows = step.student.rows
        return probability_gap(rows.logits, step.views[VIEW].teacher.rows.logits, weight=rows.weight)
