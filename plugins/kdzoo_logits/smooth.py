"""Label smoothing, as a transform of the targets that one method sees.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR 2016 (arXiv
1512.00567).

    smooth:            q' = (1 - alpha) q + alpha / C                              (torch's `label_smoothing`)
    smooth_off_label:  q' = 1 - alpha on the label, alpha / (C - 1) on the others  (Shen et al. 2021, Tf-KD)

q: (R, C), one-hot or soft; alpha 0.1 in all of them. The second equals the first at alpha C / (C - 1).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from kdzoo.functional.labels import smooth_labels, smooth_off_label
from kdzoo.protocol.method import Transform
from kdzoo.protocol.outputs import Pair, Step
from kdzoo.ranges import between


class Smooth(Transform):
    """Mix the targets with the uniform distribution. Args: alpha: the share of the uniform one, 0 to 1."""

    changes = frozenset({"labels"})

    def __init__(self, *, alpha: float = 0.1) -> None:
        super().__init__()
        between(0, 1, alpha=alpha)
        self.alpha = alpha

    def forward(self, pair: Pair, step: Step) -> Pair:
        rows = pair.student
        if rows.target is None:
            return pair
        return replace(pair, student=replace(rows, target=self.smoothed(rows.target, rows.logits)))

    def smoothed(self, target: Tensor, logits: Tensor) -> Tensor:
        return smooth_labels(target, logits, self.alpha)


class SmoothOffLabel(Smooth):
    """Spread the share alpha over the classes that are not the label only. Args: alpha: 0 to 1."""

    def smoothed(self, target: Tensor, logits: Tensor) -> Tensor:
        return smooth_off_label(target, logits, self.alpha)
