"""The training loop: the one place where time passes.

for stage in earlier stages (recipe order) + [main]:
    for epoch in stage:
        for window in feed:                    # load -> prepare -> frozen teachers answer
            set scheduled numbers; every method.update_teacher(window, run)
            for batch in window:
                set scheduled numbers
                forward, total, backward, step, for each learner
                every teacher.after_step(run); every method.after_step(steps, run)
            checkpoint if due
        evaluate, checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdzoo.engine.feed import Feed
from kdzoo.engine.observers import Observer
from kdzoo.engine.run import Run
from kdzoo.engine.schedule_binding import Binding
from kdzoo.engine.stages import StagePlan
from kdzoo.protocol.method import overrides
from kdzoo.protocol.outputs import Batch, Output, Progress, Step


@dataclass
class Position:
    """Where training stands: everything before this is done."""

    stage: int = 0
    epoch: int = 0
    batch: int = 0


def train(run: Run, plan: StagePlan, feed: Feed, observer: Observer, position: Position) -> None:
    """Train from `position` to the end of the plan; `position` is kept up to date, so that a checkpoint can be resumed from."""
    for number in range(position.stage, len(plan.stages)):
        if number > position.stage:
            position.stage, position.epoch, position.batch = number, 0, 0
        with plan.entered(run, number) as bindings:
            observer.stage_started(run, position)
            _stage(run, plan.stages[number].epochs, feed, bindings, observer, position)
    observer.finished(run, position)


def _stage(run: Run, epochs: int, feed: Feed, bindings: Sequence[Binding], observer: Observer, position: Position) -> None:
    size = run.needs.window or 1
    while position.epoch < epochs and not observer.should_stop:
        for window in feed.windows(position.epoch, start=position.batch, size=size):
            run.progress = Progress(position.epoch, epochs, position.batch, feed.batches)
            _set(bindings, run.progress)
            _update_teacher(run, window)
            for batch in window:
                run.progress = Progress(position.epoch, epochs, batch.number, feed.batches)
                _set(bindings, run.progress)
                steps = _train_on(run, batch)
                position.batch = batch.number + 1
                observer.stepped(run, position, steps)
            observer.window_done(run, position)
        position.epoch, position.batch = position.epoch + 1, 0
        observer.epoch_done(run, position)


def _set(bindings: Sequence[Binding], progress: Progress) -> None:
    for binding in bindings:
        binding.apply(progress)


def _update_teacher(run: Run, window: Sequence[Batch]) -> None:
    for label, method in run.methods.items():
        if overrides(method, "update_teacher") and run.stage == "main":
            with run.streams.applied(run.device, "update_teacher", label, window[0].epoch, window[0].number):
                method.update_teacher(window, run)


def _train_on(run: Run, batch: Batch) -> list[Step]:
    """One optimizer step of every learner on a batch; the first learner's steps, for logging and `after_step`."""
    micros = run.micros(batch)
    rows = run.rows(micros)
    kept: list[Step] = []
    stepped = True
    together = run.needs.turns != "in_turn"
    for group in [list(run.learners)] if together else [[name] for name in run.learners]:
        for micro in micros:
            steps = _backward(run, group, micro, rows)
            kept += steps[:1] if group[0] == run.first else []
        for name in group:
            stepped = run.optimize(name) and stepped
    if stepped:
        _after_step(run, kept)
    return kept


def _backward(run: Run, group: Sequence[str], micro: Batch, rows: float) -> list[Step]:
    """Forward all learners of a group, then send each one's gradients back; peers are seen detached."""
    outputs: dict[str, Output] = {}
    for name in group if len(run.learners) > 1 else ():
        with run.streams.applied(run.device, "step", name, run.stage, micro.epoch, micro.number, micro.part):
            outputs[name] = run.forward(name, micro)
    steps = []
    for name in group:
        with run.streams.applied(run.device, "step", name, run.stage, micro.epoch, micro.number, micro.part):
            peers = {o: outputs[o].detach() for o in outputs if o != name} if len(outputs) > 1 else None
            student = run.precomputed.pop((name, micro.number, micro.part), None) or outputs.get(name)
            step = run.step(micro, learner=name, student=student, peers=peers)
            run.backward(step, run.weights(micro, rows=rows))
        steps.append(step)
    return steps


@torch.no_grad()
def _after_step(run: Run, steps: Sequence[Step]) -> None:
    for teacher in run.teachers.values():
        teacher.after_step(run)
    for method in run.methods.values():
        if overrides(method, "after_step"):
            method.after_step([_detached(run.view(step, method)) for step in steps], run)


def _detached(step: Step) -> Step:
    return replace(
        step,
        student=step.student.detach(),
        teachers={name: output.detach() for name, output in step.teachers.items()},
        stash={key: value.detach() if isinstance(value, Tensor) else value for key, value in step.stash.items()},
        _cache={},
    )
