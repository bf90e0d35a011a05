"""Imitation schedules: how much a student listens to a rule teacher, more and more.

Hu et al., ACL 2016 (arXiv 1603.06318), section 3.2, and its released code:

    pi_t = min(most, 1 - decay^t)

The paper's experiments raise pi towards 1; the released code writes 1 - max(k^t, lb) with k = 0.95 and lb = 0, the same with
most = 1 - lb. There t counts batches in units of an epoch, so it has fractions: `unit: fraction`.
"""

from __future__ import annotations

from typing import Literal

from kdzoo.protocol.outputs import Progress
from kdzoo.ranges import between, strictly_between
from kdzoo.schedules import Schedule


def imitation(time: float, *, decay: float = 0.95, most: float = 1.0) -> float:
    """pi at a time.

    >>> imitation(2, decay=0.5)
    0.75
    """
    return min(most, 1 - decay**time)


class Imitation(Schedule):
    """min(most, 1 - decay^t), whatever the configured number.

    Args:
        decay: 0.95 in the released code. most: the largest value.
        unit: of t: whole epochs, optimizer steps, or epochs with their fraction, as in the released code.
    """

    def __init__(
        self, *, decay: float = 0.95, most: float = 1.0, unit: Literal["epoch", "step", "fraction"] = "fraction"
    ) -> None:
        super().__init__("step" if unit == "fraction" else unit)
        strictly_between(0, 1, decay=decay)
        between(0, 1, most=most)
        self.decay, self.most, self.fraction = decay, most, unit == "fraction"

    def value(self, base: float, progress: Progress) -> float:
        time = progress.step / max(progress.batches, 1) if self.fraction else self.done(progress)
        return imitation(time, decay=self.decay, most=self.most)
