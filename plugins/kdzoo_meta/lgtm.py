"""LGTM: a teacher that learns the task, stays near the student, and prefers samples from which the student generalizes.

Ren, Zhong, Shi, Zhu, Yuan, Li, "Tailoring Instructions to Student's Learning Levels Boosts Knowledge Distillation", ACL 2023,
arXiv 2305.09651.

    L_T(phi; theta) = a KL(p_s || p_t) + (1 - a) CE(z_t, y)                                            z: (R, C)
    theta'          = the step that the student's optimizer would take on its own loss;   v = d CE_quiz(theta') / d theta'
    teacher         d/dphi [L_T(phi; theta) - mu D_v L_T(phi; theta)]       D_v: derivative along v in the student
    student         then learns from the refreshed teacher, KL(p_t || p_s)

From the released code: a 0.4, temperature 1, mu the teacher's current rate (`influence: null`), rates 3e-5, 6 epochs, batch 32.

Deviations: D_v is exact, by one JVP of the student; the code takes two gradients of the teacher at theta +- v / (100 |v|). Its
quiz is the evaluation set, which would leak; here it is held out of training. The teacher answers in eval mode throughout, the
student in eval mode for D_v as in the code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.functional.divergence import kl_divergence
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import MAIN, Batch, Step
from kdzoo.ranges import above, at_least, between, strictly_between
from kdzoo_meta import preconditions
from kdzoo_meta import quiz as quizzes
from kdzoo_meta.gradients.inner_objective import Answers, InnerObjective, Part
from kdzoo_meta.gradients.inner_step import InnerStep
from kdzoo_meta.gradients.optimizer_rules import mirrored
from kdzoo_meta.gradients.parameter_swap import in_eval_mode
from kdzoo_meta.gradients.surrogate import surrogate
from kdzoo_meta.gradients.tangents import Tangents
from kdzoo_meta.gradients.vectors import Vector


class LGTM(Method):
    """Args:
    pull: a, the student's share in the teacher's loss; 0.4.
    temperature: of both KLs; 1. There is no factor T^2, as in the code.
    influence: mu; None is the teacher's rate as it stands. 0 leaves ProKT with a mirrored quiz.
    quiz, quiz_batch: share of the training set held out for the quiz, and samples drawn a step (None: a training batch's).
    """

    def __init__(
        self,
        *,
        pull: float = 0.4,
        temperature: float = 1.0,
        influence: float | None = None,
        quiz: float = 0.1,
        quiz_batch: int | None = None,
    ) -> None:
        super().__init__()
        between(0, 1, pull=pull)
        above(0, temperature=temperature)
        strictly_between(0, 1, quiz=quiz)
        at_least(0, quiz_batch=quiz_batch, influence=influence)
        self.pull, self.temperature, self.influence = pull, temperature, influence
        self.quiz, self.quiz_batch = quiz, quiz_batch
        self.tangents = Tangents(forward_mode=True)

    def needs(self) -> Needs:
        return Needs(teacher=True, teacher_grad=True, teacher_mode="eval", splits={quizzes.QUIZ: self.quiz}, window=1)

    def setup(self, run: RunContext) -> None:
        quizzes.check(run, self.label)
        preconditions.freeze_others(run, run.teacher_of(self), self.label, ("*",))

    def update_teacher(self, window: Sequence[Batch], run: RunContext) -> None:
        teacher = run.teacher_of(self)
        for batch in window:
            objective = InnerObjective(run, self.label, teacher, self.tangents)
            parts = objective.parts(batch)
            theta = {name: p.detach() for name, p in run.trainable().items()}
            along = self.quiz_gradient(objective, parts, theta, batch)
            counts = run.counts([part.micro for part in parts])
            for part in parts:
                value = self.value(objective, part, theta, along) * run.share(part.micro, counts, LABELS)
                run.precision.scaled(value).backward()
            run.optimize(teacher)

    def quiz_gradient(self, objective: InnerObjective, parts: Sequence[Part], theta: Vector, batch: Batch) -> Vector:
        """v, at the parameters that the student's optimizer would step to."""
        run = objective.run
        inner = InnerStep(*mirrored(run.optimizers[run.first], run.trainable()), run.settings["train"]["clip"])
        pilot, _ = inner.step(theta, objective.gradient(parts, theta), inner.states)
        quiz = quizzes.draw(run, self.label, batch, size=self.quiz_batch, augment=True)
        return objective.quiz_gradient(quiz, pilot)

    def value(self, objective: InnerObjective, part: Part, theta: Vector, along: Vector) -> Tensor:
        """L_T - mu D_v L_T on a micro-batch, as a function of the teacher."""
        run = objective.run
        assert part.answers is not None
        teacher = part.answers[MAIN]
        with torch.no_grad():
            student = objective.answers(part, theta)
        rate = run.rates[objective.teacher]["lr"] if self.influence is None else self.influence
        with in_eval_mode(run.student):
            answers, tangents = self.tangents(lambda p: objective.answers(part, p), objective.own(theta), along)
        pull = surrogate(lambda a, _: self.distance(part, a), answers, tangents, {}, {}).value
        supervised = run.task.supervised(teacher)
        return self.pull * (self.distance(part, student) - rate * pull) + (1 - self.pull) * supervised

    def distance(self, part: Part, student: Answers) -> Tensor:
        """KL(p_s || p_t) on a micro-batch."""
        assert part.answers is not None
        rows = part.answers[MAIN].rows
        return kl_divergence(rows.logits, student[MAIN].rows.logits, temperature=self.temperature, weight=rows.weight)

    @term()
    def kd(self, step: Step) -> Tensor:
        rows = step.student.rows
        return kl_divergence(rows.logits, step.teacher.rows.logits, temperature=self.temperature, weight=rows.weight)
