"""When a run writes checkpoints, and what a signal does: the window is finished, a checkpoint written, the run ended."""

from __future__ import annotations

from kdzoo.engine.checkpoint import Checkpoints
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.errors import Interrupted
from kdzoo.signals import Stop


class CheckpointTimer(Observer):
    """Writes a checkpoint every `every` windows (None: at the end of each epoch), and at the first one after a signal."""

    def __init__(self, checkpoints: Checkpoints, whole: Observer, every: int | None, stop: Stop) -> None:
        self.checkpoints, self.whole, self.every, self.stop = checkpoints, whole, every, stop
        self.done = 0

    def stage_started(self, run: Run, position: Position) -> None:
        self.checkpoints.restore_stage(run)

    def window_done(self, run: Run, position: Position) -> None:
        self.done += 1
        heard = self.stop.signal is not None
        stop = run.processes.any(heard) if run.processes.size > 1 else heard
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
