"""A control: the teacher goes on learning the task while the student learns from it, with no eye on the student.

Where MetaDistil beats it, the meta-gradient did something that more training of the teacher would not have done.

    teacher: CE(z_t, y) on the quiz batch that MetaDistil would take, or on the training batch;     z_t: (R, C)

No paper. The teacher answers in eval mode, as in MetaDistil, and steps before the student.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs
from kdzoo.protocol.outputs import Batch
from kdzoo.ranges import at_least, strictly_between
from kdzoo_meta import preconditions
from kdzoo_meta import quiz as quizzes


class TeacherFineTuning(Method):
    """Args:
    data: what the teacher learns from, the `quiz` split or the `train` batches.
    quiz: share of the training set held out, in both cases, so that the student sees the same samples.
    quiz_batch: samples of one quiz; None takes as many as a training batch, 0 all.
    """

    def __init__(self, *, data: Literal["quiz", "train"] = "quiz", quiz: float = 0.1, quiz_batch: int | None = None) -> None:
        super().__init__()
        strictly_between(0, 1, quiz=quiz)
        at_least(0, quiz_batch=quiz_batch)
        self.data, self.quiz, self.quiz_batch = data, quiz, quiz_batch

    def needs(self) -> Needs:
        return Needs(teacher=True, teacher_grad=True, teacher_mode="eval", splits={quizzes.QUIZ: self.quiz})

    def setup(self, run: RunContext) -> None:
        quizzes.check(run, self.label)
        preconditions.freeze_others(run, run.teacher_of(self), self.label, ("*",))

    def update_teacher(self, window: Sequence[Batch], run: RunContext) -> None:
        teacher = run.teacher_of(self)
        if run.rates[teacher]["lr"] == 0:
            return
        for batch in window:
            for micro, share in self.taken(batch, run):
                loss = run.task.supervised(run.forward(teacher, micro))
                run.precision.scaled(share * loss).backward()
            run.optimize(teacher)

    def taken(self, batch: Batch, run: RunContext) -> list[tuple[Batch, float]]:
        """The micro-batches to learn from, with their shares."""
        if self.data == "quiz":
            return quizzes.draw(run, self.label, batch, size=self.quiz_batch, augment=True)
        micros = run.micros(batch)
        counts = run.counts(micros)
        return [(micro, run.share(micro, counts, LABELS)) for micro in micros]
