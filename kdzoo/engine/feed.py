"""The feed: training batches in the order that the seed alone decides, with the frozen teachers' answers attached.

Frozen teachers answer here and not in the objective, so that several runs can share one feed (one data pass and one teacher
forward) and answers can be cached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from kdzoo.engine.run import Run
from kdzoo.errors import PluginError
from kdzoo.protocol.method import Method, overrides
from kdzoo.protocol.outputs import MAIN, Batch, Output, join


@dataclass(frozen=True)
class Feed:
    """Batches for one run."""

    run: Run

    @property
    def batch_size(self) -> int:
        size: int = self.run.settings["train"]["batch_size"]
        return size

    def order(self, epoch: int) -> list[Tensor]:
        """Sample indices of each batch of an epoch. A last batch of a single sample is left out: BatchNorm refuses it."""
        shuffled = self.run.streams.permutation(self.run.samples, "order", epoch).to(self.run.device)
        smallest = max(2, self.run.processes.size)
        return [chunk for chunk in shuffled.split(self.batch_size) if len(chunk) >= min(smallest, self.run.samples)]

    @property
    def batches(self) -> int:
        """Optimizer steps in an epoch."""
        full, rest = divmod(self.run.samples, self.batch_size)
        return full + (rest >= min(max(2, self.run.processes.size), self.run.samples))

    def windows(self, epoch: int, *, start: int, size: int) -> Iterator[list[Batch]]:
        """Windows of `size` consecutive batches from batch `start` on; the last of an epoch may be shorter."""
        window: list[Batch] = []
        for batch in self._batches(epoch, start):
            window.append(batch)
            if len(window) == size:
                yield window
                window = []
        if window:
            yield window

    def _batches(self, epoch: int, start: int) -> Iterator[Batch]:
        run, order = self.run, self.order(epoch)[start:]
        mine = [run.processes.chunk(index) for index in order]
        for number, batch in enumerate(run.task.batches("train", mine, epoch=epoch, train=True)):
            batch = replace(batch, epoch=epoch, number=start + number, whole=len(order[number]))
            batch = prepared(batch, run)
            yield replace(batch, answers=self.answers(batch))

    @torch.no_grad()
    def answers(self, batch: Batch) -> dict[str, dict[str, Output]]:
        """The frozen teachers' answers on every view, asked in the micro-batches that will be trained on."""
        frozen = [name for name, teacher in self.run.teachers.items() if teacher.frozen]
        views = [MAIN, *sorted(self.run.needs.views)]
        parts = self.run.micros(batch) if frozen else []
        return {name: {view: self._answer(name, parts, view) for view in views} for name in frozen}

    def _answer(self, name: str, parts: Sequence[Batch], view: str) -> Output:
        outputs = [self.run.answer(name, part, view=view) for part in parts]
        return outputs[0] if len(outputs) == 1 else join(outputs)


@torch.no_grad()
def prepared(batch: Batch, run: Run) -> Batch:
    """The batch after every method's `prepare`, in recipe order. Two writers of one thing is an error naming both."""
    writers: dict[str, str] = {}
    for label, method in run.methods.items():
        if not overrides(method, "prepare"):
            continue
        changed = method.prepare(batch, run)
        for thing in _changes(batch, changed):
            if thing in writers:
                raise PluginError(
                    f"methods.{writers[thing]} and methods.{label} both write {thing} of a batch; "
                    "one would undo the other: remove one of them."
                )
            writers[thing] = label
        batch = changed
    return batch


def _changes(before: Batch, after: Batch) -> list[str]:
    changed = [f.name for f in fields(Batch) if f.name != "extra" and getattr(before, f.name) is not getattr(after, f.name)]
    old: Mapping[str, Any] = before.extra
    return changed + [f"extra[{key!r}]" for key, value in after.extra.items() if old.get(key) is not value]


def preparers(methods: Mapping[str, Method]) -> list[str]:
    """Labels of the methods that change batches; a run with one has a feed of its own."""
    return [label for label, method in methods.items() if overrides(method, "prepare")]
