"""MPL (Meta Pseudo Labels): the teacher labels, the student learns, and its progress on true labels trains the teacher.

Pham et al., "Meta Pseudo Labels", arXiv 2003.10580.

    student   CE(z_s(strong view), argmax z_t(plain view)),  the labels of the training set unused
    h         the change of the student's CE on a labeled batch over that step
    teacher   CE(z_t, y) on the labeled batch
              + u min(1, (step + 1) / ramp) mean_i 1[max q_i >= threshold] H(q_i, z_t(strong view)),  q = softmax(z_t / T)
              + h CE(z_t(strong view), argmax z_t(strong view))                                  z: (R, C)

A first-order substitute for MetaDistil's gradient: one number tells the teacher whether its labels helped. The student keeps
its step. From kekmodel/MPL-pytorch (unofficial; CIFAR-10 with 4,000 labels): T 0.7, threshold 0.6, u 8, ramp 5,000 steps, both
networks in train mode; h is new minus old loss (`sign: code`, as it says of the authors' code), though it calls old minus new
the theoretically correct sign (`sign: theory`).

Here the labeled batch comes from the quiz split and the training split plays the unlabeled set. Not built: the student's EMA,
waiting steps and final fine-tuning on labels, dropout of the last layer, label smoothing, and seven unlabeled samples to a
labeled one. The student's BatchNorm does not see the labeled batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.row_mean import row_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import MAIN_STAGE, Needs, term
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.ranges import above, at_least, strictly_between
from kdzoo_meta import preconditions
from kdzoo_meta import quiz as quizzes

STRONG = "strong"


class MPL(Method):
    """Args:
    temperature, threshold: of the teacher's soft labels in its consistency loss, and the least certainty that counts.
    consistency, ramp: u, and steps over which it grows.
    sign: `code` takes h as new minus old loss, as the released codes do; `theory` old minus new.
    quiz, quiz_batch: share of the training set whose labels are used, and samples drawn a step (None: a training batch's).
    """

    def __init__(
        self,
        *,
        temperature: float = 0.7,
        threshold: float = 0.6,
        consistency: float = 8.0,
        ramp: int = 5000,
        sign: Literal["code", "theory"] = "code",
        quiz: float = 0.1,
        quiz_batch: int | None = None,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(0, threshold=threshold, consistency=consistency, quiz_batch=quiz_batch)
        at_least(1, ramp=ramp)
        strictly_between(0, 1, quiz=quiz)
        self.temperature, self.threshold, self.consistency, self.ramp = temperature, threshold, consistency, ramp
        self.sign, self.quiz, self.quiz_batch = sign, quiz, quiz_batch
        self.labeled: list[tuple[Batch, float]] = []
        self.before: Tensor | None = None

    def needs(self) -> Needs:
        return Needs(
            teacher=True,
            teacher_grad=True,
            teacher_mode="train",
            views=frozenset({STRONG}),
            splits={quizzes.QUIZ: self.quiz},
            window=1,
        )

    def setup(self, run: RunContext) -> None:
        quizzes.check(run, self.label)
        preconditions.freeze_others(run, run.teacher_of(self), self.label, ("*",))

    @term()
    def pseudo(self, step: Step) -> Tensor:
        rows = step.views[STRONG].student.rows
        losses = F.cross_entropy(rows.logits, step.teacher.rows.logits.argmax(1), reduction="none")
        return row_mean(losses, rows.weight)

    def update_teacher(self, window: Sequence[Batch], run: RunContext) -> None:
        """Only listens: the student's loss on labels before its step."""
        self.labeled = quizzes.draw(run, self.label, window[0], size=self.quiz_batch, augment=True)
        self.before = self.student_loss(run)

    @torch.no_grad()
    def student_loss(self, run: RunContext) -> Tensor:
        """On the labeled batch, over all processes."""
        losses = [share * run.task.supervised(run.forward(run.first, m, commit=False)) for m, share in self.labeled]
        return run.gather(torch.stack(losses).sum().reshape(1)).sum()

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        if run.stage != MAIN_STAGE or self.before is None:
            return
        teacher, place = run.teacher_of(self), steps[0].batch
        with torch.enable_grad(), run.streams.applied(run.device, "method", self.label, place.epoch, place.number):
            change = self.student_loss(run) - self.before
            self.before = None
            for micro, share in self.labeled:
                run.precision.scaled(share * run.task.supervised(run.forward(teacher, micro))).backward()
            for step in steps:
                share = step.batch.size / step.batch.whole
                loss = self.unlabeled_loss(run, step.batch, change if self.sign == "code" else -change)
                run.precision.scaled(share * loss).backward()
            run.optimize(teacher)
        self.labeled = []  # of this window only: a checkpoint holds no batches
        run.note(**{f"{self.label}.feedback": change.detach()})

    def unlabeled_loss(self, run: RunContext, batch: Batch, feedback: Tensor) -> Tensor:
        """The teacher's consistency between views, and its feedback."""
        teacher = run.teacher_of(self)
        with torch.no_grad():
            soft = (run.forward(teacher, batch, commit=False).rows.logits / self.temperature).softmax(1)
        logits = run.forward(teacher, batch, view=STRONG).rows.logits
        sure = (soft.amax(1) >= self.threshold).to(logits.dtype)
        agreement = (F.cross_entropy(logits, soft, reduction="none") * sure).mean()
        grown = self.consistency * min(1.0, (run.progress.step + 1) / self.ramp)
        return grown * agreement + feedback * F.cross_entropy(logits, logits.detach().argmax(1))
