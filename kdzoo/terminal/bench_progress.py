"""How a bench is going: bars with the remaining time on a terminal, one plain line per finished run elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kdzoo.benchmark.execute.events import (
    BenchStarted,
    CellDone,
    CellFailed,
    CellProgress,
    CellStarted,
    CohortStarted,
    Event,
    OnEvent,
    Said,
    TeacherDone,
)
from kdzoo.terminal.console import on_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def watching(*, quiet: bool = False) -> Iterator[OnEvent | None]:
    """A listener for `bench`, which draws on standard error; none if `quiet`."""
    if quiet:
        yield None
    elif on_terminal(sys.stderr):
        with _bars() as progress:
            yield Bars(progress)
    else:
        yield Lines(say)


class Lines:
    """Prints a line for whatever ended, with how many of the runs are done."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self.cells = self.done = 0

    def __call__(self, event: Event) -> None:
        match event:
            case BenchStarted():
                self.cells, self.done = event.cells, event.finished
                self.write(started(event))
            case Said():
                self.write(event.sentence)
            case CohortStarted():
                self.write(together(event))
            case CellDone(again=False) | CellFailed(seed=int(), again=False):
                self.done += 1
                self.write(f"[{self.done}/{self.cells}] {ended(event)}")
            case TeacherDone(again=False) | CellFailed(again=False):
                self.write(ended(event))


class Bars:
    """One bar over all runs, and one for each run that is under way."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.whole: Any = None
        self.bars: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case BenchStarted():
                self.progress.console.print(started(event), markup=False, highlight=False)
                self.whole = self.progress.add_task("all runs", total=event.cells, completed=event.finished)
            case Said():
                self.progress.console.print(event.sentence, markup=False, highlight=False)
            case CohortStarted():
                self.progress.console.print(together(event), markup=False, highlight=False)
            case CellStarted():
                name = named(event.row, event.seed)
                self.bars[name] = self.progress.add_task(name, total=1.0)
            case CellProgress():
                self.progress.update(self.bars[named(event.row, event.seed)], completed=event.fraction)
            case CellDone(again=False) | CellFailed(again=False):
                self._end(event, named(event.row, event.seed), runs=int(event.seed is not None))
            case TeacherDone(again=False):
                self._end(event, named(event.name, None), runs=0)

    def _end(self, event: Event, name: str, *, runs: int) -> None:
        if name in self.bars:
            self.progress.remove_task(self.bars.pop(name))
        self.progress.advance(self.whole, runs)
        self.progress.console.print(ended(event), markup=False, highlight=False)


def started(event: BenchStarted) -> str:
    """What is going to be done."""
    before = f", {event.finished} of them finished before" if event.finished else ""
    failed = f", {event.failed} failed before (try them again by --retry)" if event.failed else ""
    processes = "1 process" if event.workers == 1 else f"{event.workers} processes"
    return f"{event.folder}: {event.cells} runs{before}{failed}, in {processes}"


def together(event: CohortStarted) -> str:
    """Which runs share their data and teachers."""
    waiting = f"; {event.waiting} more wait for memory" if event.waiting else ""
    return f"{event.runs} runs train together, on one pass over the data and one teacher forward{waiting}"


def ended(event: Event) -> str:
    """How a run ended."""
    match event:
        case CellDone(row, seed, metric, value):
            return f"{named(row, seed)}  {metric} {value:.4g}"
        case TeacherDone(name, metric, value):
            return f"{named(name, None)}  {metric} {value:.4g}"
        case CellFailed(row, seed, sentence, last):
            return "\n".join([f"{named(row, seed)}  failed: {sentence}", *(f"    {line}" for line in last)])
    raise TypeError(f"{event} is no end")


def named(row: str, seed: int | None) -> str:
    """The run that an event is about."""
    return (row if row.startswith("teacher") else f"teacher {row}") if seed is None else f"{row}, seed {seed}"


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))
