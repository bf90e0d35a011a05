"""The feed: training batches in the order that the seed alone decides, cut into the micro-batches that are trained on.

A micro-batch keeps what frozen teachers said of it (see `Run.answer`), so that several methods, or several runs that are given
the same batches, ask them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kdzoo.engine.run import Run
from kdzoo.engine.source import Source
from kdzoo.errors import PluginError
from kdzoo.protocol.blame import each_of, hook_of, returned
from kdzoo.protocol.method import Method, overrides
from kdzoo.protocol.outputs import Batch


class Feed:
    """Batches of a source, prepared by the methods of the run that they are for."""

    def __init__(self, run: Run) -> None:
        self.source: Source = run.source
        self.prepare: Callable[[Batch], Batch] | None = partial(prepared, run=run) if preparers(run.methods) else None

    @property
    def batch_size(self) -> int:
        return self.source.batch_size

    def order(self, epoch: int) -> list[Tensor]:
        """Sample indices of each batch of an epoch. A last batch of a single sample is left out: BatchNorm refuses it."""
        source = self.source
        shuffled = source.task.order(epoch, source.streams, batch_size=self.batch_size).to(source.device)
        return [chunk for chunk in shuffled.split(self.batch_size) if len(chunk) >= self._smallest]

    @property
    def batches(self) -> int:
        """Optimizer steps in an epoch."""
        full, rest = divmod(self.source.samples, self.batch_size)
        return full + (rest >= self._smallest)

    @property
    def _smallest(self) -> int:
        return min(max(2, self.source.processes.size), self.source.samples)

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
        source, order = self.source, self.order(epoch)[start:]
        mine = [source.processes.chunk(index) for index in order]
        batches = each_of(source.task.batches("train", mine, epoch=epoch, train=True), "task", "batches")
        for number, batch in enumerate(batches):
            batch = replace(batch, epoch=epoch, number=start + number, whole=len(order[number]))
            if self.prepare is not None:
                batch = self.prepare(batch)
            yield replace(batch, micros=source.micros(batch))


@torch.no_grad()
def prepared(batch: Batch, run: Run) -> Batch:
    """The batch after every method's `prepare`, in recipe order. Two writers of one thing is an error naming both."""
    writers: dict[str, str] = {}
    for label, method in run.methods.items():
        if not overrides(method, "prepare"):
            continue
        with hook_of(f"methods.{label}", "prepare"):
            changed = returned(method.prepare(batch, run), Batch, f"methods.{label}", "prepare")
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
