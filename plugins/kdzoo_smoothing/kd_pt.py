"""KD-pt: of the teacher's answer only the probability of the label is left; the rest is spread evenly.

Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain, "Understanding and Improving Knowledge Distillation", 2020 (arXiv 2002.03532).

    rho_y = q_y,   rho_i = (1 - q_y) / (C - 1) for i != y        q = softmax(z_t / T): (R, C), y: (R,)

What remains is the teacher's confidence in each example, and with it how much each example counts (the paper's instance
level); what it says of other classes is gone. rho is label smoothing (`smooth_off_label`) with alpha = 1 - q_y, an alpha for
each sample. A transform of one method's logits, `kd: {logits: [kd_pt]}`, at whatever temperature the method has: the logits it
gives back are T log rho. Rows without a label are left alone.

We have not had the paper's text at hand: its idea and symbol are known from secondary accounts, the even spread is our
reading.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdzoo.functional.labels import label_mask
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method, Transform
from kdzoo.protocol.outputs import Pair, Step
from kdzoo_smoothing.targets import labels_of, several_classes, with_target


def keep_label(log_q: Tensor, label: Tensor) -> Tensor:
    """(R, C) log-probabilities with those of the label (R,) as they are and the same one for all others; C >= 2.

    The sum over the others is taken directly, not as 1 - q_y, which a confident teacher would round to 0.

    >>> keep_label(torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([0])).exp()
    tensor([[0.5000, 0.2500, 0.2500]])
    """
    classes = log_q.shape[-1]
    mask = label_mask(label, classes)
    others = log_q.masked_fill(mask, -torch.inf).logsumexp(-1, keepdim=True) - math.log(classes - 1)
    return torch.where(mask, log_q, others)


class KDpt(Transform):
    """The teacher's probability of the label, and nothing else of its answer."""

    changes = frozenset({"teacher"})

    def setup(self, run: RunContext, method: Method) -> None:
        several_classes(run, f"kd_pt of methods.{method.label}")

    def forward(self, pair: Pair, step: Step) -> Pair:
        if pair.teacher is None or pair.student.target is None:
            return pair
        label, known = labels_of(pair, pair.teacher.width)
        return with_target(pair, lambda log_q: torch.where(known, keep_label(log_q, label), log_q))
