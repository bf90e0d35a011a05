"""A source: what a run draws from and never changes: the task with its data, the seed, the device; frozen teachers, their taps.

A run has a source of its own, or several runs that see the same samples share one (`kdzoo.engine.cohort`): then the data are
read once, and a frozen teacher is built, evaluated and asked once for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdzoo.engine.apart import cpu_time
from kdzoo.engine.costs import Costs, Price
from kdzoo.engine.distributed import ProcessGroup
from kdzoo.engine.evaluate import Evaluation
from kdzoo.engine.feature_recorder import FeatureRecorder
from kdzoo.engine.flops import FlopCounter
from kdzoo.protocol.blame import hook_of
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch
from kdzoo.protocol.task import Task
from kdzoo.protocol.teacher import Teacher
from kdzoo.random import Streams


@dataclass
class Source:
    """What runs draw from.

    Attributes:
        task, streams, device, processes: the data, opened, and where and at which seed they are fed.
        batch_size, accumulate: samples of an optimizer step, and micro-batches that it is cut into.
        teachers: the frozen ones, by name. recorders: of their features, with the taps of all runs.
        evaluations: (teacher, split) -> what a frozen teacher reaches there, once somebody wanted to know.
        runs: how many draw from it. Where it is shared, an answer is kept until all of them have trained on its batch.
        common_seconds: wall time that was spent for all of them.
        prices: (teacher, view) -> what a frozen teacher's answer costs.
    """

    task: Task
    streams: Streams
    device: torch.device
    processes: ProcessGroup
    batch_size: int
    accumulate: int
    teachers: dict[str, Teacher] = field(default_factory=dict)
    recorders: dict[str, FeatureRecorder] = field(default_factory=dict)
    evaluations: dict[tuple[str, str], Evaluation] = field(default_factory=dict)
    runs: int = 1
    common_seconds: float = 0.0
    prices: dict[tuple[str, str], Price] = field(default_factory=dict)

    @classmethod
    def opened(cls, task: Task, settings: Mapping[str, Any], needs: Needs, device: torch.device) -> Source:
        """The source that a recipe's settings describe, its data loaded and split."""
        root, streams = settings["paths"].get("data"), Streams(settings["seed"])
        with hook_of("task", "open"):
            task.open(needs=needs, streams=streams, device=device, root=Path(root) if root else None)
        train = settings["train"]
        return cls(task, streams, device, ProcessGroup(device), train["batch_size"], train["accumulate"])

    @property
    def shared(self) -> bool:
        return self.runs > 1

    @property
    def samples(self) -> int:
        """Samples in the training split."""
        return self.task.size("train")

    def recorder(self, teacher: str, model: nn.Module) -> FeatureRecorder:
        """The recorder of a frozen teacher's features."""
        return self.recorders.setdefault(teacher, FeatureRecorder(model, ()))

    def micros(self, batch: Batch) -> tuple[Batch, ...]:
        """The micro-batches of an optimizer step, numbered."""
        if batch.micros:
            return batch.micros
        parts = self.task.split(batch, self.accumulate)
        if len(parts) == 1:
            return tuple(parts) if parts[0] is batch else (replace(parts[0], part=0, answers=batch.answers),)
        return tuple(replace(micro, part=number, answers={}, micros=()) for number, micro in enumerate(parts))

    @contextmanager
    def answering(self, teacher: str, view: str, batch: Batch, costs: Costs) -> Iterator[None]:
        """A frozen teacher answers in this block, for the run with these costs; its price is kept for those who share."""
        if not self.shared:
            yield
            return
        price = self.prices.setdefault((teacher, view), Price())
        before, started = costs.asked[teacher], cpu_time()
        counter = FlopCounter() if costs.count and price.flops is None else None
        with self.common(), counter or nullcontext():
            yield
        samples = max(batch.size, 1)
        price.asked, price.cpu_seconds = (costs.asked[teacher] - before) / samples, (cpu_time() - started) / samples
        if counter is not None:
            price.flops = counter.total / samples

    def price(self, teacher: str, view: str) -> Price:
        """What an answer costs whoever did not ask for it."""
        return self.prices.get((teacher, view), Price())

    @contextmanager
    def common(self) -> Iterator[None]:
        """Time spent in this block is everybody's who shares the source."""
        started = time.perf_counter()
        try:
            yield
        finally:
            if self.shared:
                self.common_seconds += time.perf_counter() - started
