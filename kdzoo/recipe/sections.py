"""What may stand at the top level of a recipe, and beside the settings of every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from kdzoo.cache_folder import CACHE
from kdzoo.protocol.method import Method
from kdzoo.protocol.roles import Optimizer, Schedule, Tracker, Transform
from kdzoo.protocol.task import Model, Task
from kdzoo.protocol.teacher import Teacher
from kdzoo.ranges import above, at_least


@dataclass(frozen=True, kw_only=True)
class Train:
    """How the student is trained.

    Attributes:
        batch_size: samples per optimizer step, in `accumulate` micro-batches; clip: the largest gradient norm.
        evaluate_every, patience: in epochs; patience None never stops early.
    """

    epochs: int = 10
    batch_size: int = 64
    accumulate: int = 1
    clip: float | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = True
    evaluate_every: int = 1
    patience: int | None = None

    def __post_init__(self) -> None:
        above(0, epochs=self.epochs, batch_size=self.batch_size, accumulate=self.accumulate, clip=self.clip)
        above(0, evaluate_every=self.evaluate_every, patience=self.patience)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how a run is carried out; nothing here changes what is computed.

    Another device, or another number of threads, adds up in another order, so results are bit for bit the same with the same.

    Attributes:
        log_every: in optimizer steps. checkpoint_every: in windows, of one step each unless a method needs more;
            without it, after each epoch. keep: how many checkpoints.
    """

    device: str = "auto"
    threads: int = 1
    out: str = "runs"
    log_every: int = 50
    checkpoint_every: int | None = None
    keep: int = 2
    trackers: Sequence[Tracker] = ()

    def __post_init__(self) -> None:
        try:
            self.device == "auto" or torch.device(self.device)
        except RuntimeError:
            raise ValueError(f"device must be auto, cpu, cuda or cuda:<number>, got {self.device!r}") from None
        above(0, threads=self.threads, log_every=self.log_every, checkpoint_every=self.checkpoint_every, keep=self.keep)


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Folders of this machine, for `${paths.teachers}` and the like; `data` None searches the usual places."""

    teachers: str = str(CACHE / "teachers")
    data: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published number that the recipe aims at, with its standard deviation over `n` runs where they are known."""

    metric: str
    value: float
    source: str
    sd: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        at_least(0, sd=self.sd)
        at_least(1, n=self.n)


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """What every method takes besides its own settings: its teacher, the head that it `reads` in place of the main rows, its
    transforms, and the weights of its terms."""

    teacher: str | None = None
    reads: str | None = None
    logits: Sequence[Transform] = ()
    targets: Sequence[Transform] = ()
    weights: Mapping[str, float] = field(default_factory=dict)


def _default_task() -> Any:
    return "image_classification"


def _default_optimizers() -> Any:
    return {"student": "sgd"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The top level of a recipe, but for `extends`; `teacher` is short for `teachers: {teacher: ...}`."""

    name: str = ""
    description: str = ""
    seed: int = 0
    task: Task = field(default_factory=_default_task)
    student: Model
    learners: Mapping[str, Model] = field(default_factory=dict)
    teacher: Teacher | None = None
    teachers: Mapping[str, Teacher] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    optimizers: Mapping[str, Optimizer] = field(default_factory=_default_optimizers)
    train: Train = field(default_factory=Train)
    runtime: Runtime = field(default_factory=Runtime)
    paths: Paths = field(default_factory=Paths)
    reference: Reference | None = None
    bench: Mapping[str, Any] | None = None
