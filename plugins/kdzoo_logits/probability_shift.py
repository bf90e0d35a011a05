"""Probability shift: where the teacher is wrong, its top class and the label change places.

Wen, Lai, Qian, "Preparing Lessons: Improve Knowledge Distillation with Better Supervision", 2019 (arXiv 1911.07471).

    z_t'[argmax z_t] = z_t[y], z_t'[y] = max z_t        z_t: (R, C), y: (R,); nothing changes where argmax z_t = y

This is the paper's knowledge adjustment in the form that KD_Lib calls `ProbShift`: exchanging logits exchanges probabilities
at every temperature. A transform of one method's logits, `kd: {logits: [probability_shift]}`; the student's stay. Rows without
a label are left alone. KD_Lib's defaults beside it: temperature 20, weights 0.5 and 0.5. No deviations.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from kdzoo.functional.labels import hard_label
from kdzoo.protocol.method import Transform
from kdzoo.protocol.outputs import Pair, Step


def shifted(teacher: Tensor, target: Tensor) -> Tensor:
    """(R, C) logits whose largest entry is the label's; target (R,) or (R, C). A label outside the classes changes nothing."""
    label = hard_label(target).unsqueeze(-1)
    known = (label >= 0) & (label < teacher.shape[-1])
    label = torch.where(known, label, 0)
    top = teacher.argmax(-1, keepdim=True)
    swapped = teacher.scatter(-1, top, teacher.gather(-1, label)).scatter(-1, label, teacher.gather(-1, top))
    return torch.where(known, swapped, teacher)


class ProbabilityShift(Transform):
    """The teacher's logits with the label on top."""

    changes = frozenset({"teacher"})

    def forward(self, pair: Pair, step: Step) -> Pair:
        if pair.teacher is None or pair.student.target is None:
            return pair
        return replace(pair, teacher=replace(pair.teacher, scores=shifted(pair.teacher.logits, pair.student.target)))
