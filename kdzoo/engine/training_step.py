"""What is done with a window, and with each of its batches: teachers are updated, every learner takes a step, hooks follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdzoo.engine.run import Run
from kdzoo.protocol.blame import hook_of
from kdzoo.protocol.context import Counts, Weights
from kdzoo.protocol.method import overrides
from kdzoo.protocol.needs import MAIN_STAGE
from kdzoo.protocol.outputs import ENGINE, Batch, Output, Step


@dataclass(frozen=True)
class TrainedMicro:
    """What is kept of a micro-batch that the first learner was trained on: its outputs are kept only where a hook reads them.

    Attributes:
        samples: in it; whole: in the optimizer step, over all micro-batches and processes.
        values, shares: of each evaluated term `<label>.<name>`: its value, and the micro-batch's share of its denominator.
        views: label -> what that method saw, detached, for methods with an `after_step`.
    """

    samples: int
    whole: int
    values: Mapping[str, Tensor]
    shares: Mapping[str, float]
    views: Mapping[str, Step]


def update_teacher(run: Run, window: Sequence[Batch]) -> None:
    """The hooks of methods before the student steps on a window: `first_batch` on the first of all, then `update_teacher`."""
    if run.stage != MAIN_STAGE:
        return
    first = window[0]
    if first.epoch == 0 and first.number == 0:
        with torch.no_grad():
            _hook(run, "first_batch", first, first)
    if any(overrides(method, "update_teacher") for method in run.methods.values()):
        with run.costs.part(f"before a step of {run.stage}", sum(batch.size for batch in window)):
            _hook(run, "update_teacher", first, window)


def _hook(run: Run, name: str, first: Batch, given: Batch | Sequence[Batch]) -> None:
    for label, method in run.methods.items():
        if overrides(method, name):
            random = run.streams.applied(run.device, name, label, first.epoch, first.number)
            with hook_of(f"methods.{label}", name), random:
                getattr(method, name)(given, run)


def train_step(run: Run, batch: Batch) -> list[TrainedMicro]:
    """One optimizer step of every learner on a batch, and the `after_step` of teachers and methods.

    Returns what is kept of the first learner's micro-batches.
    """
    with run.costs.part(run.stage, batch.size):
        return _train_step(run, batch)


def _train_step(run: Run, batch: Batch) -> list[TrainedMicro]:
    micros = run.micros(batch)
    counts = run.counts(micros)
    kept: list[TrainedMicro] = []
    stepped = True
    groups = [[name] for name in run.learners] if run.needs.turns == "in_turn" else [list(run.learners)]
    for group in groups:
        for micro in micros:
            kept += _learn(run, group, micro, counts)
            if group is groups[-1] and not run.source.shared:
                micro.answers.clear()
        for name in group:
            stepped = run.optimize(name) and stepped
    if stepped:
        _after_step(run, kept)
    return kept


def _learn(run: Run, group: Sequence[str], micro: Batch, counts: Counts) -> list[TrainedMicro]:
    """Forward all learners of a group, then send each one's gradients back; peers are seen detached."""
    outputs: dict[str, Output] = {}
    for name in group if len(run.learners) > 1 else ():
        with _training(run, name, micro):
            outputs[name] = run.forward(name, micro)
    kept, shares = [], run.shares(micro, counts)
    for name in group:
        with _training(run, name, micro):
            peers = {o: outputs[o].detach() for o in outputs if o != name} if len(outputs) > 1 else None
            student = run.precomputed.pop((name, micro.number, micro.part), None) or outputs.get(name)
            step = run.step(micro, learner=name, student=student, peers=peers)
            run.backward(step, run.weighted(shares))
        if name == run.first:
            kept.append(_kept(run, step, micro, shares))
    return kept


@contextmanager
def _training(run: Run, learner: str, micro: Batch) -> Iterator[None]:
    """Random numbers of a learner's step; its forwards move running statistics."""
    with run.streams.applied(run.device, "step", learner, run.stage, micro.epoch, micro.number, micro.part):
        run.training = True
        try:
            yield
        finally:
            run.training = False


def _kept(run: Run, step: Step, micro: Batch, shares: Weights) -> TrainedMicro:
    readers = [method for method in run.methods.values() if overrides(method, "after_step")]
    flat = {f"{label}.{name}": share for label, own in shares.items() for name, share in own.items()}
    losses: Mapping[str, Tensor] = step.stash.get(ENGINE, {})
    with torch.no_grad():
        views = {method.label: replace(_detached(run.view(step, method)), losses=losses) for method in readers}
    return TrainedMicro(micro.size, micro.whole, losses, flat, views)


@torch.no_grad()
def _after_step(run: Run, kept: Sequence[TrainedMicro]) -> None:
    for name, teacher in run.teachers.items():
        with hook_of(f"teachers.{name}", "after_step"):
            teacher.after_step(run)
    for label, method in run.methods.items():
        if overrides(method, "after_step"):
            with hook_of(f"methods.{label}", "after_step"):
                method.after_step([micro.views[label] for micro in kept], run)


def _detached(step: Step) -> Step:
    return replace(
        step,
        student=step.student.detach(),
        teachers={name: output.detach() for name, output in step.teachers.items()},
        stash={key: value.detach() if isinstance(value, Tensor) else value for key, value in step.stash.items()},
        _cache={},
    )
