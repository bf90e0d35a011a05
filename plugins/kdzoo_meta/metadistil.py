"""MetaDistil: the teacher moves so that a student that learned from it does better on a quiz.

Zhou, Xu, McAuley, "BERT Learns to Teach: Knowledge Distillation with Meta Learning", ACL 2022, arXiv 2106.04570.

    theta' = theta - eta d/dtheta L(B; theta, phi)         a pilot student, on the batch B
    phi    <- phi - mu d/dphi CE_quiz(theta'(phi))         the teacher's own optimizer; second order, through theta'
    theta  <- theta - lambda d/dtheta L(B; theta, phi)     the real step: the old student, the new teacher (pilot update)

L is whatever mixture of methods, transforms and weights the recipe declares; this method adds no term of its own. The quiz is a
tenth of the training set that the student never trains on, drawn afresh at every step.

In practice (the released CIFAR-100 code): batch 64, eta 0.05, teacher rate 0 for 149 epochs and then small (the authors name
1e-4 to 3e-4, and that the default of 0.05 ruins the teacher); eta and mu times 0.1 where the student's rate falls. On text: eta
5e-5, teacher rate 1e-5, quiz in eval mode (`quiz_mode`), clipping at 1.

Deviations: the quiz is a stratified random split, not the last rows of the file; a step draws without replacement; while the
teacher's rate is 0 nothing is computed (`warm_momentum` does, for the teacher's momentum). `docs/metadistil.md` has the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import MAIN_STAGE, Needs
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.ranges import above, at_least, some, strictly_between
from kdzoo_meta import preconditions
from kdzoo_meta import quiz as quizzes
from kdzoo_meta.gradients.constants import blind_terms
from kdzoo_meta.gradients.double_backward import double_backward
from kdzoo_meta.gradients.inner_objective import InnerObjective
from kdzoo_meta.gradients.inner_step import InnerStep
from kdzoo_meta.gradients.optimizer_rules import mirrored
from kdzoo_meta.gradients.pullbacks import SGDRule
from kdzoo_meta.gradients.tangents import Tangents
from kdzoo_meta.gradients.unroll import unrolled
from kdzoo_meta.teacher_monitor import TeacherMonitor


class MetaDistil(Method):
    """Args:
    quiz: share of the training set that is held out for the quiz; 0.1.
    quiz_batch: samples of one quiz; None takes as many as a training batch, 0 the whole split (the released default on text).
    quiz_augment, quiz_mode: augment the quiz as in training, and the student's mode on it; the released code on images: yes
        and train, on text: eval.
    window: batches whose inner steps are unrolled before the quiz (`num_meta_batches`); 1.
    inner: `sgd`, a plain step of rate `inner_lr` without decay (the paper), or `student`, the very step that the student's
        optimizer would take (SGD with momentum or Nesterov, Adam, AdamW), clipping and decay included.
    inner_lr: eta; 0.05, the released default on images (its author suggests 0.02).
    inner_clip: largest norm of the inner gradient; None does not clip, or as `train.clip` says where `inner` is `student`.
    backend: `jvp` (exact, no double backward), `double_backward` (exact, the paper's way), `fd_logit` (finite differences).
    look_ahead: False takes the quiz with the student as it is: an error of order eta, for a third less arithmetic.
    pilot: False is the ablation: the student steps with the old teacher, and the teacher moves afterwards.
    every, start_epoch: one meta step in so many windows, and none before this epoch.
    normalize_meta_grad: divide the meta-gradient by the inner rate, to which it is proportional.
    teacher_clip: largest norm of the meta-gradient; None is `train.clip`.
    moves: globs of the teacher's parameters that move; the others are frozen.
    recompute: do not keep the teacher's graph over the inner step; it answers twice. Less memory, a teacher forward more.
    share_forward: the real step reuses the inner step's forward, dropout masks included. A student forward less.
    warm_momentum: compute meta steps also while the teacher's rate is 0, as the released code does; only the momentum of the
        teacher's optimizer notices.
    alarm: warn once the teacher falls below this share of its first validation metric; 0 never.
    """

    def __init__(
        self,
        *,
        quiz: float = 0.1,
        quiz_batch: int | None = None,
        quiz_augment: bool = True,
        quiz_mode: Literal["train", "eval"] = "train",
        window: int = 1,
        inner: Literal["sgd", "student"] = "sgd",
        inner_lr: float = 0.05,
        inner_clip: float | None = None,
        backend: Literal["jvp", "double_backward", "fd_logit"] = "jvp",
        look_ahead: bool = True,
        pilot: bool = True,
        every: int = 1,
        start_epoch: int = 0,
        normalize_meta_grad: bool = False,
        teacher_clip: float | None = None,
        moves: Sequence[str] = ("*",),
        recompute: bool = False,
        share_forward: bool = False,
        warm_momentum: bool = False,
        alarm: float = 0.9,
    ) -> None:
        super().__init__()
        strictly_between(0, 1, quiz=quiz)
        at_least(1, window=window, every=every)
        at_least(0, start_epoch=start_epoch, inner_lr=inner_lr, alarm=alarm, quiz_batch=quiz_batch)
        some(moves=moves)
        above(0, inner_clip=inner_clip, teacher_clip=teacher_clip)
        _check_options(window, backend, share_forward=share_forward, look_ahead=look_ahead)
        self.quiz, self.quiz_batch, self.quiz_augment, self.quiz_mode = quiz, quiz_batch, quiz_augment, quiz_mode
        self.window, self.inner, self.inner_lr, self.inner_clip = window, inner, inner_lr, inner_clip
        self.backend, self.look_ahead, self.pilot = backend, look_ahead, pilot
        self.every, self.start_epoch, self.warm_momentum = every, start_epoch, warm_momentum
        self.normalize_meta_grad, self.teacher_clip, self.moves = normalize_meta_grad, teacher_clip, tuple(moves)
        self.recompute, self.share_forward, self.alarm = recompute, share_forward, alarm
        self.monitor = TeacherMonitor()
        self.tangents = Tangents(forward_mode=backend == "jvp")
        self.waiting: dict[str, Tensor] = {}
        self.last, self.rehearsed = -1, False

    def needs(self) -> Needs:
        return Needs(
            teacher=True,
            numbers=True,
            teacher_grad=True,
            teacher_mode="eval",
            splits={quizzes.QUIZ: self.quiz},
            window=self.window,
        )

    def setup(self, run: RunContext) -> None:
        quizzes.check(run, self.label)
        preconditions.freeze_others(run, run.teacher_of(self), self.label, self.moves)
        if self.backend == "double_backward" and run.processes.size > 1:
            raise CapabilityError(
                f"methods.{self.label}.backend=double_backward runs in one process, here are {run.processes.size}; "
                "use backend=jvp."
            )
        if self.share_forward and len(run.learners) > 1:
            raise CapabilityError(
                f"methods.{self.label}.share_forward is for a single learner, here are {', '.join(run.learners)}; leave it out."
            )

    # -- the meta step -----------------------------------------------------------------------------------------------

    def update_teacher(self, window: Sequence[Batch], run: RunContext) -> None:
        due = self.due(window[0], run)
        if not due and self.rehearsed:
            return
        self.meta_gradient(window, run)
        if not self.rehearsed:  # what cannot work should not come to light when the teacher's rate rises, epochs later
            self.rehearsed = True
            preconditions.check_nonzero(run, run.teacher_of(self), self.label)
            self.say_what_is_missing(window, run)
        if due and self.pilot:
            self.move(run)
        elif due:
            self.waiting, self.last = self.taken(run), window[-1].number
        else:
            self.taken(run)

    def say_what_is_missing(self, window: Sequence[Batch], run: RunContext) -> None:
        """Warn of terms that take as constant what moves, and of a quiz with old statistics."""
        objective = self.objective(run)
        theta = {name: p.detach() for name, p in run.trainable().items()}
        part = objective.parts(window[0])[0]
        preconditions.warn_of_constants(blind_terms(objective, part, theta, student=self.window > 1), self.label)
        if self.quiz_mode == "eval" and self.look_ahead:
            preconditions.warn_of_old_statistics(run.student, self.label)

    def due(self, place: Batch, run: RunContext) -> bool:
        """Whether this window has a meta step: the teacher can move, and it is its turn."""
        still = run.rates[run.teacher_of(self)]["lr"] == 0 and not self.warm_momentum
        windows = -(-run.progress.batches // self.window)
        number = place.epoch * windows + place.number // self.window
        return not still and place.epoch >= self.start_epoch and number % self.every == 0

    def meta_gradient(self, window: Sequence[Batch], run: RunContext) -> None:
        """Leave the meta-gradient in the `.grad` of the teacher's parameters."""
        teacher = run.teacher_of(self)
        quiz = quizzes.draw(run, self.label, window[0], size=self.quiz_batch, augment=self.quiz_augment)
        objective, inner = self.objective(run), self.inner_step(run)
        with preconditions.twice_differentiable(run, self.label):
            if self.backend == "double_backward":
                double_backward(objective, inner, window, quiz)
            else:
                unrolled(objective, inner, window, quiz, look_ahead=self.look_ahead)
        preconditions.check_reached(run, teacher, self.label)
        rate = self.inner_lr if self.inner == "sgd" else run.rates[run.first]["lr"]
        if self.normalize_meta_grad and rate:
            torch._foreach_div_([p.grad for p in run.model(teacher).parameters() if p.grad is not None], rate)

    def objective(self, run: RunContext) -> InnerObjective:
        """The inner objective as functions of the student's parameters."""
        return InnerObjective(
            run,
            self.label,
            run.teacher_of(self),
            self.tangents,
            recompute=self.recompute,
            share=self.share_forward,
            evaluating=self.quiz_mode == "eval",
        )

    def inner_step(self, run: RunContext) -> InnerStep:
        """U as it stands."""
        parameters = run.trainable()
        if self.inner == "student":
            limit = run.settings["train"]["clip"] if self.inner_clip is None else self.inner_clip
            return InnerStep(*mirrored(run.optimizers[run.first], parameters), limit)
        rule = SGDRule(self.inner_lr)
        return InnerStep(dict.fromkeys(parameters, rule), dict.fromkeys(parameters, ()), self.inner_clip)

    # -- moving the teacher ------------------------------------------------------------------------------------------

    def move(self, run: RunContext) -> None:
        """Step the teacher's optimizer on the meta-gradient."""
        teacher = run.teacher_of(self)
        self.monitor.before(run, teacher)
        if run.optimize(teacher, clip=self.teacher_clip or run.settings["train"]["clip"] or math.inf):
            self.monitor.moved(run.norms[teacher])

    def taken(self, run: RunContext) -> dict[str, Tensor]:
        """The meta-gradient, taken out of the teacher's `.grad`."""
        found = {}
        for name, parameter in run.model(run.teacher_of(self)).named_parameters():
            if parameter.grad is not None:
                found[name], parameter.grad = parameter.grad / run.precision.scale, None
        return found

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        if run.stage != MAIN_STAGE:
            return
        teacher, number = run.teacher_of(self), steps[-1].batch.number
        if self.waiting and number == self.last:
            parameters = dict(run.model(teacher).named_parameters())
            for name, gradient in self.waiting.items():
                parameters[name].grad = run.precision.scaled(gradient)
            self.waiting = {}
            self.move(run)
        if number + 1 == run.progress.batches:
            self.monitor.epoch_done(run, teacher, self.label, alarm=self.alarm)


def _check_options(window: int, backend: str, *, share_forward: bool, look_ahead: bool) -> None:
    for name, on in (("share_forward=true", share_forward), ("look_ahead=false", not look_ahead)):
        if on and window > 1:
            raise ValueError(f"{name} is for a single inner step, got window={window}; set window=1")
        if on and backend == "double_backward":
            raise ValueError(f"{name} belongs to the backends jvp and fd_logit, got double_backward; leave one out")
    if share_forward and not look_ahead:
        raise ValueError("share_forward shares the inner step's forward, which look_ahead=false leaves out; leave one out")
