"""When a run writes checkpoints, and what a signal does: the window is finished, a checkpoint written, the run ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kdzoo import signals
from kdzoo.engine.checkpoint import Checkpoints
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.errors import Interrupted


class CheckpointTimer(Observer):
    """Writes a checkpoint every `every` windows (None: at the end of each epoch) and when a signal came."""

    def __init__(self, checkpoints: Checkpoints, whole: Observer, every: int | None) -> None:
        self.checkpoints, self.whole, self.every = checkpoints, whole, every
        self.done = 0
        self.signal: int | None = None

    def stage_started(self, run: Run, position: Position) -> None:
        self.checkpoints.restore_stage(run)

    def window_done(self, run: Run, position: Position) -> None:
        self.done += 1
        stop = run.processes.any(self.signal is not None) if run.processes.size > 1 else self.signal is not None
        if stop or (self.every is not None and self.done % self.every == 0):
            self._save(run, position)
        if stop:
            raise Interrupted("interrupted; a checkpoint is written, and the same command goes on from it.")

    def epoch_done(self, run: Run, position: Position) -> None:
        if self.every is None:
            self._save(run, position)

    def _save(self, run: Run, position: Position) -> None:
        if run.processes.is_main:
            self.checkpoints.save(run, position, self.whole)
        run.processes.barrier()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM politely for the length of a block; a second one acts at once."""

        def heard(number: int) -> None:
            self.signal = number

        with signals.listening(heard):
            yield
