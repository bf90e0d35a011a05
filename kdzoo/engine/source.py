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
from typing import Any, NamedTuple

import torch
from torch import nn

from kdzoo.engine.costs import Costs
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


class Asked(NamedTuple):
    """Which answer of a frozen teacher: to which view of which micro-batch."""

    teacher: str
    view: str
    batch: int
    part: int


@dataclass
class Answered:
    """What an answer cost the run that asked first, and whose costs have it."""

    samples: int
    cpu_seconds: float
    charged: set[int]


@dataclass
class Source:
    """What runs draw from.

    Attributes:
        task, streams, device, processes: the data, opened, and where and at which seed they are fed.
        batch_size, accumulate: samples of an optimizer step, and micro-batches that it is cut into.
        teachers: the frozen ones, by name. recorders: of their features, with the taps of all runs.
        evaluations: (teacher, split) -> what a frozen teacher reaches there, once somebody wanted to know.
        runs: how many draw from it. Where it is shared, an answer is kept until all of them have trained on its batch.
        common_seconds: wall time that was spent for all of them. answered: what the answers at hand cost.
        flops: (teacher, view) -> operations a sample.
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
    answered: dict[Asked, Answered] = field(default_factory=dict)
    flops: dict[tuple[str, str], float] = field(default_factory=dict)

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
            return (replace(parts[0], part=0, answers=batch.answers),)
        return tuple(replace(micro, part=number, answers={}, micros=()) for number, micro in enumerate(parts))

    @contextmanager
    def answering(self, asked: Asked, costs: Costs) -> Iterator[None]:
        """A frozen teacher answers in this block, for a run with these costs and for all who will find the answer."""
        if not self.shared:
            yield
            return
        before, started, kind = costs.asked[asked.teacher], time.process_time(), (asked.teacher, asked.view)
        counter = FlopCounter() if costs.count and kind not in self.flops else None
        with self.common(), counter or nullcontext():
            yield
        samples = costs.asked[asked.teacher] - before
        if counter is not None:
            self.flops[kind] = counter.total / max(samples, 1)
        self.answered[asked] = Answered(samples, time.process_time() - started, {id(costs)})

    def found(self, asked: Asked, costs: Costs) -> None:
        """A run with these costs found an answer: it is charged what it would have paid alone, once."""
        answered = self.answered.get(asked)
        if answered is not None and id(costs) not in answered.charged:
            answered.charged.add(id(costs))
            flops = self.flops.get((asked.teacher, asked.view), 0.0)
            costs.found(asked.teacher, answered.samples, flops=flops, cpu_seconds=answered.cpu_seconds)

    @contextmanager
    def common(self) -> Iterator[None]:
        """Time spent in this block is everybody's who shares the source."""
        started = time.perf_counter()
        try:
            yield
        finally:
            if self.shared:
                self.common_seconds += time.perf_counter() - started
