"""How a run is going: a bar with the remaining time on a terminal, one plain line per epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kdzoo.terminal.console import on_terminal, say

if TYPE_CHECKING:
    from rich.progress import Progress

Record = dict[str, Any]
Listener = Callable[[Record], None]


@contextmanager
def watching(*, unit: str = "images", quiet: bool = False) -> Iterator[list[Listener]]:
    """Listeners for `launch`, which draw on standard error; none if `quiet`. `unit` is what the task's samples are called."""
    if quiet:
        yield []
    elif on_terminal(sys.stderr):
        with _bars() as progress:
            yield [Bars(progress, unit)]
    else:
        lines = Lines(say, unit)
        try:
            yield [lines]
        finally:
            lines.flush()


class Lines:
    """Prints a line for each epoch: its last losses, its validation if there was one, and the speed."""

    def __init__(self, write: Callable[[str], None], unit: str) -> None:
        self.write, self.unit = write, unit
        self.last: Record | None = None

    def __call__(self, record: Record) -> None:
        if record["event"] == "step":
            if self.last and (self.last["stage"], self.last["epoch"]) != (record["stage"], record["epoch"]):
                self.flush()
            self.last = record
        elif record["event"] == "epoch":
            self.flush(record["validation"])

    def flush(self, validation: Mapping[str, float] | None = None) -> None:
        """Print the epoch that is waiting, if one is."""
        if self.last:
            self.write(f"{_finished(self.last)}  {numbers(self.last, validation or {}, self.unit)}")
            self.last = None


class Bars:
    """Moves one bar per stage."""

    def __init__(self, progress: Progress, unit: str) -> None:
        self.progress, self.unit = progress, unit
        self.bars: dict[str, Any] = {}
        self.validation: Mapping[str, float] = {}

    def __call__(self, record: Record) -> None:
        if record["event"] == "epoch":
            self.validation = record["validation"]
        elif record["event"] == "step":
            stage, step = record["stage"], record["step"]
            if stage not in self.bars:
                # After a restart the bar starts where the run does, so that the remaining time is this process's own.
                self.bars[stage] = self.progress.add_task(stage, total=record["steps"], completed=step, numbers="")
            epoch = f"{_prefix(stage)}epoch {record['epoch'] + 1}"
            shown = numbers(record, self.validation, self.unit)
            self.progress.update(self.bars[stage], completed=step, description=epoch, numbers=shown)


def numbers(record: Record, validation: Mapping[str, float], unit: str) -> str:
    """The loss, the validation's metrics and the speed, as far as they are known."""
    measured = [f"{name} {value:.4g}" for name, value in validation.items()]
    speed = f"{record['samples_per_second']:.0f} {unit}/s"
    return "  ".join([f"loss {record['loss']:.4g}", *measured, speed])


def _prefix(stage: str) -> str:
    return "" if stage == "main" else f"{stage} "


def _finished(record: Record) -> str:
    """`epoch 3/10`."""
    return f"{_prefix(record['stage'])}epoch {record['epoch'] + 1}/{record['epochs']}"


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    return Progress(*columns, console=Console(stderr=True))
