"""Methods that compare how the samples of a batch relate, by one feature of each network."""

from __future__ import annotations

from math import prod

from torch import Tensor

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Step
from kdzoo_features.tap_checks import pairs, several_samples, shape_pairs


class Relational(Method):
    """Args: student_tap, teacher_tap: features of any shape; they are flattened."""

    def __init__(self, *, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__()
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(
            teacher=True, aligned=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True
        )

    def setup(self, run: RunContext) -> None:
        several_samples(self, run)

    def widths(self, run: RunContext) -> tuple[int, int]:
        """Numbers a sample in the student's and in the teacher's flattened feature."""
        (student, teacher), *_ = shape_pairs(self, run)
        return prod(student), prod(teacher)

    def flat(self, step: Step) -> tuple[Tensor, Tensor]:
        """Both features, (B, d)."""
        student, teacher = pairs(step)[0]
        return student.flatten(1), teacher.flatten(1)
