"""How a bench is going: bars with the remaining time on a terminal, one plain line per finished run elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kdzoo.cli.console import on_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress

Heard = Callable[[Any], None]


@contextmanager
def watching(*, quiet: bool = False) -> Iterator[Heard | None]:
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

    def __call__(self, event: Any) -> None:
        from kdzoo.bench.events import BenchStarted, CellDone, CellFailed, TeacherDone

        match event:
            case BenchStarted():
                self.cells = event.cells
                self.write(started(event))
            case CellDone(again=False) | CellFailed() if event.seed is not None:
                self.done += 1
                self.write(f"[{self.done}/{self.cells}] {ended(event)}")
            case TeacherDone(again=False) | CellFailed():
                self.write(ended(event))
            case CellDone():
                self.done += 1


class Bars:
    """One bar over all runs, and one for each run that is under way."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.whole: Any = None
        self.bars: dict[tuple[str, int | None], Any] = {}
        self.done = 0

    def __call__(self, event: Any) -> None:
        from kdzoo.bench.events import BenchStarted, CellDone, CellFailed, CellProgress, CellStarted, TeacherDone

        match event:
            case BenchStarted():
                say(started(event))
                self.done = event.finished
                self.whole = self.progress.add_task("all runs", total=event.cells, completed=event.finished)
            case CellStarted():
                self.bars[event.row, event.seed] = self.progress.add_task(named(event), total=1.0)
            case CellProgress():
                self.progress.update(self.bars[event.row, event.seed], completed=event.fraction)
            case CellDone(again=False) | CellFailed() | TeacherDone(again=False):
                self._end(event)

    def _end(self, event: Any) -> None:
        row, seed = getattr(event, "row", None) or event.name, getattr(event, "seed", None)
        bar = self.bars.pop((row, seed), None)
        if bar is not None:
            self.progress.remove_task(bar)
        self.done += seed is not None
        self.progress.update(self.whole, completed=self.done)
        self.progress.console.print(ended(event), markup=False, highlight=False)


def started(event: Any) -> str:
    """What is going to be done."""
    before = f", {event.finished} of them finished before" if event.finished else ""
    return f"{event.folder}: {event.cells} runs{before}, {event.workers} at a time"


def named(event: Any) -> str:
    """The run that an event is about."""
    if hasattr(event, "name"):
        return f"teacher {event.name}"
    return f"teacher {event.row}" if event.seed is None else f"{event.row}, seed {event.seed}"


def ended(event: Any) -> str:
    """How a run ended."""
    if hasattr(event, "sentence"):
        return f"{named(event)}  failed: {event.sentence}"
    return f"{named(event)}  {event.metric} {event.value:.4g}"


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))
