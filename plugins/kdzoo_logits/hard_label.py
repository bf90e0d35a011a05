"""Hard labels: the task's own supervised loss, as a method among others.

For classification it is cross-entropy; a task decides. Give it a target transform for label smoothing:
`hard_label: {targets: [smooth]}`. Its weight is the weight of the labels in the mixture.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.method import Method, term
from kdzoo.outputs import Step


class HardLabel(Method):
    """The student learns from the task's labels."""

    @term()
    def hard_label(self, step: Step) -> Tensor:
        return step.supervise(step.student)
