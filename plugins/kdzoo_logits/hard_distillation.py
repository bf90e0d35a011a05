"""Hard distillation: the teacher's decision is a second label.

Touvron, Cord, Douze, Massa, Sablayrolles, Jegou, "Training data-efficient image transformers & distillation through
attention", ICML 2021 (arXiv 2012.12877).

    hard_distillation = mean_r H(onehot(argmax_c z_t), softmax(z_s))        z: (R, C)

It has no temperature. In the released DeiT code the total is (1 - alpha) CE + alpha hard_distillation with alpha 0.5, so set
`hard_label: {weights: {hard_label: 0.5}}` beside the default weight here. The code's soft variant is `kd` at temperature tau
with weight alpha / C, as it divides by the number of classes too.

Deviation: DeiT teaches a token of its own and averages the two answers when it predicts; here the student has one answer.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step


class HardDistillation(Method):
    """The student learns the teacher's most probable class."""

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term(weight=0.5)
    def hard_distillation(self, step: Step) -> Tensor:
        rows = step.student.rows
        return cross_entropy(rows.logits, step.teacher.rows.logits.argmax(-1), weight=rows.weight)
