"""Hard labels: the task's own supervised loss, as a method among others.

For classification it is cross-entropy; a task decides. Give it a target transform for label smoothing:
`hard_label: {targets: [smooth]}`. Its weight is the weight of the labels in the mixture. With `view: strong` it learns from
another view of each sample, under a label of its own: `strong_label: {use: hard_label, view: strong}`.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import MAIN, Step


class HardLabel(Method):
    """The student learns from the task's labels. Args: view: of which view of the samples; `main` is the usual one."""

    def __init__(self, *, view: str = MAIN) -> None:
        super().__init__()
        self.view = view

    def needs(self) -> Needs:
        return Needs(views=frozenset({self.view} - {MAIN}))

    @term(over=LABELS)
    def hard_label(self, step: Step) -> Tensor:
        seen = step if self.view == MAIN else step.views[self.view]
        return step.supervise(seen.student)
