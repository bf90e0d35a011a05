"""MPDistil: a copy of the teacher learns, on the quiz, to make good use of its own features and of the student's.

Sengupta, Dixit, Akhtar, Chakraborty, "A Good Learner can Teach Better: Teacher-Student Collaborative Knowledge Distillation",
ICLR 2024 (openreview Ixi4j6LtdX).

    student        T^2 mean (softmax(z_t / T) - softmax(z_s / T))^2 over all entries, beside labels            z: (R, C)
    meta-teacher   after each epoch, one pass over the quiz; only its classifier h moves, on pooled features f: (R, d)
      collaborative  (CE(h(f_t), y) + CE(h(f_s), y)) / 2
      competitive    CE(h(f_t), y) - mean softmax(h(f_t))[y] + mean softmax(h(f_s))[y]

From the released code: T 5, weights 0.5 (this term) and 0.5 (labels), PKD features at 100; the classifier by AdamW at 1e-3 with
gradients clipped at 1 (`optimizers.teacher: {use: adamw, lr: 0.001}`); BERT-base to 6 layers. As the meta-teacher's encoder is
frozen in the code, it shares its features with the teacher that it was copied from, so one network does for both.

Not built: the last stage, in which the student chooses among several tasks by REINFORCE; it needs several tasks in one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.row_mean import row_mean
from kdzoo.models.classified import classifier_reads
from kdzoo.models.tap_names import classifier_of
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import MAIN_STAGE, Needs, term
from kdzoo.protocol.outputs import MAIN, Batch, Output, Step
from kdzoo.ranges import above, strictly_between
from kdzoo_meta import preconditions
from kdzoo_meta import quiz as quizzes
from kdzoo_meta.gradients.parameter_swap import in_eval_mode

POOLED = "pooled"


@in_float32
def softmax_gap(student: Tensor, teacher: Tensor, *, temperature: float, weight: Tensor | None = None) -> Tensor:
    """T^2 times the mean squared gap of tempered probabilities, over classes and rows: logits (R, C)."""
    gap = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    return temperature**2 * row_mean(gap.square().mean(-1), weight)


class MPDistil(Method):
    """Args:
    loss: of the meta-teacher, `collaborative` or `competitive`.
    temperature: of the student's term; 5.
    clip: largest norm of the classifier's gradient; 1.
    quiz: share of the training set held out for the meta-teacher; 0.1.
    """

    def __init__(
        self,
        *,
        loss: Literal["collaborative", "competitive"] = "collaborative",
        temperature: float = 5.0,
        clip: float = 1.0,
        quiz: float = 0.1,
    ) -> None:
        super().__init__()
        above(0, temperature=temperature, clip=clip)
        strictly_between(0, 1, quiz=quiz)
        self.loss, self.temperature, self.clip, self.quiz = loss, temperature, clip, quiz

    def needs(self) -> Needs:
        return Needs(
            teacher=True,
            teacher_grad=True,
            teacher_mode="eval",
            student_taps=(POOLED,),
            teacher_taps=(POOLED,),
            splits={quizzes.QUIZ: self.quiz},
            capabilities=frozenset({"classes"}),
        )

    def setup(self, run: RunContext) -> None:
        quizzes.check(run, self.label)
        teacher = run.teacher_of(self)
        own, theirs = (run.shapes(self, role)[POOLED] for role in ("student", "teacher"))
        if own != theirs:
            raise CapabilityError(
                f"methods.{self.label} gives the student's pooled features to the teacher's classifier, but they are {own} and "
                f"the teacher's {theirs}; use networks of one width."
            )
        head = classifier_of(run.model(teacher))
        example = run.task.example()
        if not classifier_reads(run.model(teacher), POOLED, lambda model: run.task.forward(model, example, MAIN).rows.logits):
            raise CapabilityError(
                f"methods.{self.label} applies the teacher's classifier to {POOLED!r}, but there it does not give its "
                "logits; use a teacher whose last linear layer reads its pooled features."
            )
        path = next(name for name, module in run.model(teacher).named_modules() if module is head)
        preconditions.freeze_others(run, teacher, self.label, (f"{path}.*",))

    @term(weight=0.5)
    def soft(self, step: Step) -> Tensor:
        rows = step.student.rows
        return softmax_gap(rows.logits, step.teacher.rows.logits, temperature=self.temperature, weight=rows.weight)

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        place = steps[-1].batch
        if run.stage != MAIN_STAGE or place.number + 1 < run.progress.batches:
            return
        batch = int(run.settings["train"]["batch_size"])
        order = run.streams.permutation(run.task.size(quizzes.QUIZ), "method", self.label, quizzes.QUIZ, place.epoch)
        with torch.enable_grad():
            for index in order.tensor_split(-(-len(order) // batch)):
                self.learn(run, quizzes.at(run, place, [index], augment=False))

    def learn(self, run: RunContext, quiz: Sequence[tuple[Batch, float]]) -> None:
        """One step of the classifier."""
        teacher = run.teacher_of(self)
        for micro, share in quiz:
            head = classifier_of(run.model(teacher))
            with torch.no_grad(), in_eval_mode(run.student):
                own, theirs = (self.pooled(run, role, micro) for role in (teacher, run.first))
            run.precision.scaled(share * self.value(head(own), head(theirs), micro.target)).backward()
        run.optimize(teacher, clip=self.clip)

    def pooled(self, run: RunContext, role: str, micro: Batch) -> Tensor:
        output: Output = run.forward(role, micro, commit=False)
        return output.features[run.tap_keys[self.label, role][POOLED]].float()

    def value(self, teacher: Tensor, student: Tensor, target: Tensor) -> Tensor:
        """The meta-teacher's loss on its logits for both features."""
        own = F.cross_entropy(teacher, target)
        if self.loss == "collaborative":
            return 0.5 * own + 0.5 * F.cross_entropy(student, target)
        right = [logits.softmax(1).gather(1, target[:, None]).mean() for logits in (teacher, student)]
        return own - right[0] + right[1]
