"""What is alive in one training, and how to ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.engine.distributed import ProcessGroup
from kdzoo.engine.feature_recorder import FeatureRecorder
from kdzoo.engine.gradient_groups import GradientGroups
from kdzoo.engine.precision import Precision
from kdzoo.protocol.method import Method, Needs
from kdzoo.protocol.outputs import Output, Progress
from kdzoo.protocol.roles import Optimizer, Task, Teacher
from kdzoo.random import Streams
from kdzoo.schedules import Schedule


class Rates(dict[str, float]):
    """The numbers of an optimizer that a schedule may move; writing one changes every parameter group."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        group = optimizer.param_groups[0]
        super().__init__({k: v for k, v in group.items() if isinstance(v, int | float) and not isinstance(v, bool)})
        self.optimizer = optimizer

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, value)
        for group in self.optimizer.param_groups:
            group[name] = value


@dataclass
class Alive:
    """The models, methods, teachers, optimizers and numbers of one run."""

    settings: Mapping[str, Any]
    task: Task
    needs: Needs
    own_needs: Mapping[str, Needs]
    streams: Streams
    device: torch.device
    precision: Precision
    processes: ProcessGroup
    learners: dict[str, nn.Module] = field(default_factory=dict)
    teachers: dict[str, Teacher] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    makers: dict[str, Optimizer] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    rates: dict[str, Rates] = field(default_factory=dict)
    gradient_groups: dict[str, GradientGroups] = field(default_factory=dict)
    weights_now: dict[str, dict[str, float]] = field(default_factory=dict)
    scheduled: frozenset[str] = frozenset()
    stage: str = "main"
    progress: Progress = field(default_factory=lambda: Progress(0, 1, 0, 1))
    taps: dict[str, FeatureRecorder] = field(default_factory=dict)
    tap_keys: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    feature_shapes: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    compiled: dict[str, Callable[..., Any]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)
    # (learner, batch, part) -> its answers by view on the coming step, if `update_teacher` has computed them, graph included
    precomputed: dict[tuple[str, int, int], Mapping[str, Output]] = field(default_factory=dict)

    @property
    def student(self) -> nn.Module:
        """The first learner: the one that is deployed unless a method says otherwise."""
        return next(iter(self.learners.values()))

    @property
    def first(self) -> str:
        """Name of the first learner."""
        return next(iter(self.learners))

    @property
    def samples(self) -> int:
        """Samples in the training split (the range of sample indices)."""
        return self.task.size("train")

    def model(self, role: str) -> nn.Module:
        """The module behind a learner's or teacher's name."""
        if role in self.learners:
            return self.learners[role]
        model = self.teachers[role].model
        if model is None:
            raise KeyError(f"teacher {role!r} has no model")
        return model

    @property
    def classes(self) -> int:
        """Width of the student's logits."""
        return self.widths[self.first]

    def shapes(self, method: Method, role: str = "student") -> dict[str, tuple[int, ...]]:
        """Shape without the batch dimension of each tap that `method` declared on a learner or teacher."""
        keys = self.tap_keys[method.label, self.teacher_of(method) if role == "teacher" else role]
        return {
            key: self.feature_shapes[self.teacher_of(method) if role == "teacher" else role][spec] for key, spec in keys.items()
        }

    def teacher_of(self, method: Method) -> str:
        """Name of the method's teacher: its `teacher` setting or the only one."""
        return method.teacher or next(iter(self.teachers))

    def trainable(self, learner: str | None = None) -> dict[str, nn.Parameter]:
        """What a learner's optimizer may train, by name; the first learner's includes `methods.<label>.*`."""
        learner = learner or self.first
        named = {f"{learner}.{name}": p for name, p in self.learners[learner].named_parameters()}
        if self.learners[learner] is self.student:
            for label, method in self.methods.items():
                named |= {f"methods.{label}.{name}": p for name, p in method.named_parameters()}
        return {name: p for name, p in named.items() if p.requires_grad}

    @contextmanager
    def mode(self, *, training: bool) -> Iterator[None]:
        """Put learners and methods in train or eval mode for a block; frozen teachers never leave eval."""
        modules = [*self.learners.values(), *self.methods.values()]
        before = [m.training for m in modules]
        for module in modules:
            module.train(training)
        try:
            yield
        finally:
            for module, was in zip(modules, before, strict=True):
                module.train(was)
