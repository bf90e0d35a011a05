"""Ask models for their answers: `forward`, the first pure half of a training step, and the step that holds what came back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from kdzoo.engine.alive import Alive
from kdzoo.engine.feature_recorder import Overwritten
from kdzoo.engine.precision import full_rows
from kdzoo.protocol.outputs import MAIN, Batch, Output, Step

Parameters = Mapping[str, Tensor]


class Asking(Alive):
    """A run that answers."""

    def forward(
        self,
        role: str,
        batch: Batch,
        params: Parameters | None = None,
        buffers: Parameters | None = None,
        *,
        view: str = MAIN,
        commit: bool = True,
    ) -> Output:
        """A model's answer on one view of a batch, with its taps.

        Args:
            params, buffers: stand in for the model's own, by name. With `params`, missing buffers are cloned.
            commit: False leaves BatchNorm statistics as they are (a second look at a batch).
        """
        model = self.model(role)
        call: Callable[..., Any] = self.compiled.get(role, model)
        if params is not None or not commit:
            cloned = {name: b.clone() for name, b in model.named_buffers()} | dict(buffers or {})
            substituted = {**(params or {}), **cloned}

            def call(*args: Any, **kwargs: Any) -> Any:
                return functional_call(model, substituted, args, kwargs)

        try:
            return self._recorded(role, call, batch, view)
        except Overwritten:  # only ever while probing: see FeatureRecorder
            return self._recorded(role, call, batch, view)

    def _recorded(self, role: str, call: Callable[..., Any], batch: Batch, view: str) -> Output:
        if role not in self.taps or not self.taps[role].paths:
            with self.precision.autocast():
                return full_rows(self.task.forward(call, batch, view))
        with self.precision.autocast(), self.taps[role].recording() as features:
            output = self.task.forward(call, batch, view)
        return full_rows(replace(output, features={**output.features, **features}))

    def step(
        self,
        batch: Batch,
        *,
        learner: str = "student",
        params: Parameters | None = None,
        teacher_grad: bool = False,
        student: Output | Mapping[str, Output] | None = None,
        peers: Mapping[str, Output] | None = None,
        view: str = MAIN,
    ) -> Step:
        """The forwards of one learner on one micro-batch, with all teachers' answers.

        `student` is the learner's answer, or its answers by view, where they are known already.
        """
        known = {view: student} if isinstance(student, Output) else student or {}
        if view in known:
            student = known[view]
        else:
            own = (
                None
                if params is None
                else {n.removeprefix(f"{learner}."): p for n, p in params.items() if n.startswith(f"{learner}.")}
            )
            student = self.forward(learner, batch, own, view=view)
        if peers is None:
            peers = self.peers(batch, learner, view)
        return Step(
            batch=batch,
            learner=learner,
            student=student,
            teachers={name: self.answer(name, batch, view=view, peers=peers, grad=teacher_grad) for name in self.teachers},
            peers=peers,
            progress=self.progress,
            stage=self.stage,
            streams=self.streams,
            supervise=self.task.supervised,
            samples=batch.index,
            views={
                v: self.step(batch, learner=learner, params=params, teacher_grad=teacher_grad, student=known, view=v)
                for v in sorted(self.needs.views)
            }
            if view == MAIN
            else {},
        )

    def peers(self, batch: Batch, learner: str, view: str = MAIN) -> dict[str, Output]:
        """The other learners' answers, without gradients and leaving no trace."""
        others = [name for name in self.learners if name != learner]
        with torch.no_grad():
            return {name: self.forward(name, batch, view=view, commit=False).detach() for name in others}

    def answer(
        self, name: str, batch: Batch, *, view: str = MAIN, peers: Mapping[str, Output] | None = None, grad: bool = False
    ) -> Output:
        """A teacher's answer: the feed's, if it is frozen; else computed, with a graph only if `grad`."""
        if view in batch.answers.get(name, {}):
            return batch.answers[name][view]
        teacher = self.teachers[name]
        with torch.set_grad_enabled(grad and teacher.trains and torch.is_grad_enabled()):
            output = teacher.answer(batch, self, view, peers or {})  # type: ignore[arg-type]  # only Run derives
        return output if grad else output.detach()
