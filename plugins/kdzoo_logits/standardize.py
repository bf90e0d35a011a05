"""Logit standardization: the method's logits, student's and teacher's, become z-scores over the classes.

Sun, Ren, Li, Wang, Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024 (arXiv 2403.01427).

    z' = (z - mean_c z) / (std_c z + 1e-7)        z: (R, C), unbiased standard deviation

The student need not match the teacher's shift and variance, only its shape. The gradient flows through mean and deviation.
In the authors' code: base temperature 2 and weight 9 (`kd: {temperature: 2, weights: {kd: 9}, logits: [standardize]}`) for
most CIFAR-100 pairs, labels 0.1 on the raw logits. A row of equal logits gives zeros here, with a finite gradient.
"""

from __future__ import annotations

from dataclasses import replace

from kdzoo.functional.standardize import standardize
from kdzoo.protocol.method import Transform
from kdzoo.protocol.outputs import Pair, Rows, Step
from kdzoo.ranges import above


class Standardize(Transform):
    """Args: eps: added to the deviation; 1e-7 in the authors' code."""

    changes = frozenset({"student", "teacher"})

    def __init__(self, *, eps: float = 1e-7) -> None:
        super().__init__()
        above(0, eps=eps)
        self.eps = eps

    def forward(self, pair: Pair, step: Step) -> Pair:
        def scores(rows: Rows) -> Rows:
            return replace(rows, scores=standardize(rows.logits, eps=self.eps))

        teacher = None if pair.teacher is None else scores(pair.teacher)
        return replace(pair, student=scores(pair.student), teacher=teacher)
