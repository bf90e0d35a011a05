"""The roles that plugins play, by name. Annotate a constructor's parameter with one of them and a recipe may fill the slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from kdzoo.protocol.method import Needs, Transform
from kdzoo.protocol.outputs import Batch, Output
from kdzoo.random import Streams
from kdzoo.schedules import Schedule

if TYPE_CHECKING:
    from kdzoo.engine.run import Run

__all__ = [
    "REST",
    "SLOTS",
    "Data",
    "Meter",
    "Model",
    "Optimizer",
    "RecipeRef",
    "Schedule",
    "Task",
    "Teacher",
    "Tracker",
    "Transform",
]


REST = "rest"
"""The part of an optimizer's gradients that comes from the methods in none of its parts."""


@runtime_checkable
class Model(Protocol):
    """A model that is not built yet: the task supplies what depends on the data (`classes`, `size`, `entities`, ...)."""

    name: str

    def __call__(self, **context: int) -> nn.Module: ...


class Data(Protocol):
    """A source of samples; what `load` returns is the task's business."""

    def load(self, root: Path | None = None) -> Any: ...


class RecipeRef(Protocol):
    """A recipe inside a recipe (a name, a path or a mapping): resolved settings of a run of its own."""

    settings: Mapping[str, Any]


class Optimizer(Protocol):
    """How parameters move. `lr` is the configured rate; a recipe may bind it to a schedule.

    One that has an attribute `parts`, a mapping of names to labels of methods, gets the gradients of these methods apart, and
    those of all others as the part `REST`: what it builds finds them in `self.parts[name][parameter]` when it steps, where a
    parameter that the part does not reach is missing. They sum to `parameter.grad`.
    """

    lr: float

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer: ...


class Tracker(Protocol):
    """Where numbers go besides the run's own JSONL. A failing tracker is reported once and then left alone."""

    def start(self, *, name: str, folder: Path, settings: Mapping[str, Any]) -> None: ...

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def finish(self, summary: Mapping[str, Any]) -> None: ...


class Meter(Protocol):
    """Accumulates one evaluation."""

    def update(self, output: Output, batch: Batch) -> None: ...

    def result(self) -> dict[str, float]: ...

    def arrays(self) -> dict[str, Tensor]: ...


class Task(Protocol):
    """What data mean, and how a model is run on them.

    Attributes:
        capabilities: what methods may ask for (`classes`, `features`, `index`, `views`, `quiz`, ...).
        metric: the name of the headline metric in `Meter.result`; `higher_is_better` its direction.
    """

    capabilities: frozenset[str]
    metric: str
    higher_is_better: bool

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        """Load the data and fix the splits (`train`, `validation`, `test` and those of `needs.splits`)."""

    def size(self, split: str) -> int:
        """Samples in a split; 0 where it does not exist."""

    def build(self, model: Model) -> nn.Module:
        """Build a model for this data."""

    def context(self) -> Any:
        """Static data beside the batches (a graph), on the device."""

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        """The batches whose sample indices `order` lists, on the device, augmented if `train`."""

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        """Cut a batch into at most `parts` micro-batches."""

    def rows(self, batch: Batch) -> int | None:
        """Rows in a batch, if they are not its samples."""

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        """Run a model on one view of a batch. `model` may carry substituted parameters: call it, nothing else."""

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse, with a sentence, a teacher whose answers do not fit the student's (classes, tokenizers)."""

    def supervised(self, output: Output) -> Tensor:
        """The task's own loss against its labels, a scalar mean over the rows."""

    def meter(self, split: str) -> Meter:
        """A fresh accumulator for one evaluation."""

    def example(self) -> Batch:
        """Two training samples, to find out shapes."""

    def facts(self) -> dict[str, Any]:
        """What the results should say of the data: sizes, classes, fingerprints."""


class Teacher(nn.Module):
    """Whoever supplies reference outputs.

    Attributes:
        frozen: its answers depend on the batch alone, so the feed asks it, once, before the step.
        trains: it has an optimizer of its own (`optimizers: {<name>: ...}`), which a method's `update_teacher` steps.
        model: the module behind it, if there is one.
    """

    kdzoo_kind: ClassVar[str] = "teachers"
    frozen: ClassVar[bool] = True
    trains: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.model: nn.Module | None = None

    def build(self, run: Run) -> None:
        """Build or load the model; the learners exist."""

    def answer(self, batch: Batch, run: Run, view: str, peers: Mapping[str, Output]) -> Output:
        """The teacher's output on one view of a batch. Whether gradients flow is the caller's business."""
        return run.forward(self.name, batch, view=view)

    def after_step(self, run: Run) -> None:
        """After the learners stepped (moving averages)."""


SLOTS: dict[Any, str] = {
    Transform: "transforms",
    Schedule: "schedules",
    Teacher: "teachers",
    Task: "tasks",
    Data: "data",
    Model: "models",
    Optimizer: "optimizers",
    Tracker: "trackers",
    RecipeRef: "recipe",
}
"""Which kind of plugin fills a parameter annotated with each protocol."""
