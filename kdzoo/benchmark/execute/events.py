"""What a bench tells a live display, in order. A teacher counts as a cell without a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BenchStarted:
    """Everything is checked. `cells` in all, of which `finished` were done before; `workers` processes for the rest.

    `failed` of them failed before, and are not tried again unless that is asked for.
    """

    folder: Path
    cells: int
    finished: int
    workers: int
    failed: int = 0


@dataclass(frozen=True)
class CohortStarted:
    """A worker takes up `runs` cells that share their data and teachers; of the same cohort, `waiting` wait for memory."""

    runs: int
    waiting: int


@dataclass(frozen=True)
class Said:
    """Something to know about the bench, or about a cell: whom it waits for, and what lies in its folder already."""

    sentence: str


@dataclass(frozen=True)
class CellStarted:
    """A worker took up a cell."""

    row: str
    seed: int | None


@dataclass(frozen=True)
class CellProgress:
    """How much of a cell's current stage is done, from 0 to 1."""

    row: str
    seed: int | None
    fraction: float


@dataclass(frozen=True)
class CellDone:
    """A cell is finished; `value` is the last epoch's `metric` on test. `again` if it was found finished."""

    row: str
    seed: int | None
    metric: str
    value: float
    again: bool = False


@dataclass(frozen=True)
class CellFailed:
    """A cell (or, without a seed, a teacher) could not be finished; the others go on.

    `last` are the last lines that it left; `again` if it failed before and was not tried again.
    """

    row: str
    seed: int | None
    sentence: str
    last: tuple[str, ...] = ()
    again: bool = False


@dataclass(frozen=True)
class TeacherDone:
    """A teacher that a recipe describes is trained, or was found trained."""

    name: str
    metric: str
    value: float
    again: bool = False


Event = BenchStarted | Said | CohortStarted | CellStarted | CellProgress | CellDone | CellFailed | TeacherDone
OnEvent = Callable[[Event], None]
