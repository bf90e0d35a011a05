"""The student's inner objective on the batches of a window, as functions of its parameters.

It composes the engine's two halves, `run.forward` and `run.total`, and knows no loss. Nothing here leaves a trace: parameters
are substituted, buffers cloned, and dropout masks come from streams of their own, equal at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from kdzoo.protocol.context import RunContext, Weights
from kdzoo.protocol.outputs import MAIN, Batch, Output, Step, map_tensors
from kdzoo_meta.gradients.parameter_swap import held, in_eval_mode
from kdzoo_meta.gradients.vectors import Vector, below

R = TypeVar("R")
Answers = dict[str, Output]
Tangents = Callable[[Callable[[Vector], Any], Vector, Vector], tuple[Any, list[Tensor | None]]]


@dataclass(frozen=True)
class Part:
    """A micro-batch of an inner step, its weights, and the teacher's answers by view with their graph (None: ask again)."""

    micro: Batch
    weights: Weights
    answers: Mapping[str, Output] | None


@dataclass(frozen=True)
class InnerObjective:
    """What one meta step looks at.

    Attributes:
        label: of the method, for its random streams; teacher: the name of the teacher that it moves.
        tangents: `jvp` or `finite_difference`.
        recompute: the teacher's graph is not kept over the inner step; it answers a second time instead.
        share: the student's dropout masks are those of the step that follows, which takes over its answers.
        evaluating: the student takes the quiz in eval mode.
    """

    run: RunContext
    label: str
    teacher: str
    tangents: Tangents
    recompute: bool = False
    share: bool = False
    evaluating: bool = False

    # -- one batch ---------------------------------------------------------------------------------------------------

    def parts(self, batch: Batch) -> list[Part]:
        """The micro-batches of a batch."""
        run = self.run
        micros = run.micros(batch)
        counts = run.counts(micros)
        for micro in micros:  # frozen teachers are asked once, and not at every look at the micro-batch
            for name, teacher in run.teachers.items():
                for view in self.views if teacher.frozen else ():
                    run.answer(name, micro, view=view)
        return [Part(m, run.weights(m, counts), None if self.recompute else self._asked(m)) for m in micros]

    def answers(self, part: Part, theta: Vector) -> Answers:
        """The student's answers on every view."""
        run, micro = self.run, part.micro
        own = below(theta, f"{run.first}.")
        with self.masks(micro):
            return {view: run.forward(run.first, micro, own, view=view) for view in self.views}

    def total(self, part: Part, answers: Answers, theta: Vector, *, graph: bool) -> Tensor:
        """The loss, with the methods' parameters in `theta`; with `graph` it reaches into the teacher."""
        run, micro, asked = self.run, part.micro, part.answers
        if asked is None and graph:
            asked = self._asked(micro)
        if asked is not None:
            asked = asked if graph else map_tensors(Tensor.detach, dict(asked))
            micro = replace(micro, answers={**micro.answers, self.teacher: dict(asked)})
        with self.randomness("terms", micro):
            step = run.step(micro, learner=run.first, student=answers)
            return run.total(step, part.weights, theta, commit=False)

    def step(self, part: Part, answers: Answers) -> Step:
        """The step behind `total`, with the teacher's answers as constants."""
        asked = map_tensors(Tensor.detach, dict(part.answers or self._asked(part.micro)))
        micro = replace(part.micro, answers={**part.micro.answers, self.teacher: asked})
        with self.randomness("terms", micro):
            return self.run.step(micro, learner=self.run.first, student=answers)

    def own(self, theta: Vector) -> dict[str, Tensor]:
        """The student's own parameters, without the methods', under their full names."""
        return {name: p for name, p in theta.items() if name.startswith(f"{self.run.first}.")}

    def randomness(self, name: str, micro: Batch) -> AbstractContextManager[None]:
        """Random numbers of their own for one purpose on one micro-batch."""
        return self.run.streams.applied(self.run.device, "method", self.label, name, micro.epoch, micro.number, micro.part)

    def masks(self, micro: Batch) -> AbstractContextManager[None]:
        """The student's random numbers."""
        run, place = self.run, (micro.epoch, micro.number, micro.part)
        if self.share:
            return run.streams.applied(run.device, "step", run.first, run.stage, *place)
        return self.randomness("student", micro)

    @property
    def views(self) -> list[str]:
        """What of each sample the student is asked about."""
        return [MAIN, *sorted(self.run.needs.views)]

    def _asked(self, micro: Batch) -> Answers:
        return {view: self.run.answer(self.teacher, micro, view=view, grad=True) for view in self.views}

    # -- gradients ---------------------------------------------------------------------------------------------------

    def gradient(self, parts: Sequence[Part], theta: Vector) -> dict[str, Tensor]:
        """g = d total / d theta over all micro-batches and processes; parameters that no term depends on are missing."""
        leaves = {name: p.detach().requires_grad_() for name, p in theta.items()}

        def passes() -> None:
            for part in parts:
                self.backward(self.total(part, self.answers(part, leaves), leaves, graph=False))

        self.held(leaves, passes)
        return self.collected(leaves)

    def quiz_loss(self, micro: Batch, theta: Vector, *, share: float) -> Tensor:
        """The task's own loss on a quiz micro-batch, times its share."""
        run = self.run
        mode = in_eval_mode(run.student) if self.evaluating else nullcontext()
        with self.randomness("quiz", micro), mode:
            output = run.forward(run.first, micro, below(theta, f"{run.first}."))
        return run.task.supervised(output) * share

    def quiz_gradient(self, quiz: Sequence[tuple[Batch, float]], theta: Vector) -> dict[str, Tensor]:
        """v = d quiz loss / d theta; parameters that the task's loss does not depend on get zeros."""
        leaves = {name: p.detach().requires_grad_() for name, p in theta.items()}

        def passes() -> None:
            for micro, share in quiz:
                self.backward(self.quiz_loss(micro, leaves, share=share))

        self.held(leaves, passes)
        found = self.collected(leaves)
        return {name: found[name] if name in found else torch.zeros_like(p) for name, p in theta.items()}

    def held(self, theta: Vector, passes: Callable[[], R]) -> R:
        """Forward and backward with these parameters in the student: activation checkpointing runs it again in between."""
        return held(self.run.student, below(theta, f"{self.run.first}."), passes)

    def backward(self, value: Tensor) -> None:
        """Send gradients back, scaled against underflow in fp16."""
        if value.requires_grad:
            self.run.precision.scaled(value).backward()

    def collected(self, leaves: Vector) -> dict[str, Tensor]:
        """The leaves' gradients, summed over the processes."""
        scale = self.run.precision.scale
        self.run.processes.reduce_gradients(leaves.values())  # type: ignore[arg-type]
        found = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        return found if scale == 1 else {name: g / scale for name, g in found.items()}
