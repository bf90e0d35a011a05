"""The roles that plugins play, by name. Annotate a constructor's parameter with one of them and a recipe may fill the slot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NewType, Protocol

import torch
from torch import nn

from kdzoo.protocol.analysis import Analysis
from kdzoo.protocol.method import Transform
from kdzoo.protocol.task import Model, Task
from kdzoo.protocol.teacher import Teacher
from kdzoo.schedules import Schedule

__all__ = [
    "REST",
    "SLOTS",
    "Analysis",
    "Data",
    "Existing",
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


Existing = NewType("Existing", str)
"""A setting that names a file or folder which must be there: it is looked for before anything is read or trained."""


class Data(Protocol):
    """A source of samples; what `load` returns is the task's business.

    A source of Python objects, for `kdzoo.run(data=...)`, has a static method `from_python(given)`: the settings of the
    task, or None for objects that are not its own. The first line of its docstring says what it takes.

    A source that knows before anything is read what models will be told of it says so by `declares`, a mapping such as
    `{"classes": 10, "channels": 1, "size": 8}`.

    One of images has its usual augmentation as `augment`, so that a teacher that keeps its answers is refused early.

    One whose classes are known before anything is loaded has their names as `class_names`, so that what a recipe says of them
    is checked early.
    """

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
    """Where numbers go besides the run's own JSONL. A failing tracker is reported once and then left alone.

    `start` hears what the run is called, and the bench whose cell it is ('' for a run alone). `log` gets a record's numbers,
    the training step, and the record's line in the run's log; a resumed run starts again from the line of its checkpoint.
    """

    def start(self, *, name: str, group: str, folder: Path, settings: Mapping[str, Any]) -> None: ...

    def log(self, values: Mapping[str, float], *, step: int, line: int) -> None: ...

    def finish(self, summary: Mapping[str, Any]) -> None: ...


SLOTS: dict[Any, str] = {
    Transform: "transforms",
    Schedule: "schedules",
    Teacher: "teachers",
    Task: "tasks",
    Data: "data",
    Model: "models",
    Optimizer: "optimizers",
    Tracker: "trackers",
    Analysis: "analyses",
    RecipeRef: "recipe",
}
"""Which kind of plugin fills a parameter annotated with each protocol."""
