"""A control: hold the quiz split out of training and do nothing with it.

MetaDistil's student trains on nine tenths of the data. Plain KD beside it is a fair comparison on the same nine tenths (this
method) and on all of it (without).
"""

from __future__ import annotations

from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.ranges import strictly_between
from kdzoo_meta.quiz import QUIZ


class Holdout(Method):
    """Args: quiz: share of the training set that is left out; the same samples as MetaDistil's at the same seed."""

    def __init__(self, *, quiz: float = 0.1) -> None:
        super().__init__()
        strictly_between(0, 1, quiz=quiz)
        self.quiz = quiz

    def needs(self) -> Needs:
        return Needs(splits={QUIZ: self.quiz})
