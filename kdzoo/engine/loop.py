"""The training loop.

for stage in earlier stages (recipe order) + [main]:
    for epoch in stage:
        for window in feed:                    # load -> prepare
            set scheduled numbers; every method.update_teacher(window, run)
            for batch in window:
                set scheduled numbers; `train_step`: forward, total, backward, step, for each learner; after_step
            checkpoint if due
        evaluate, checkpoint
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from kdzoo.engine.feed import Feed
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.schedule_binding import Binding
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.protocol.outputs import Progress


class Loop:
    """The training of one run, advanced window by window.

    Args:
        plan: the stages; feed: the batches; observer: who watches.
        position: where to start; kept up to date, so that a checkpoint can be resumed from it.
    """

    def __init__(self, run: Run, plan: StagePlan, feed: Feed, observer: Observer, position: Position) -> None:
        self.run, self.plan, self.feed, self.observer, self.position = run, plan, feed, observer, position
        self._windows = self._train()

    def advance(self) -> bool:
        """Train on one window, and what belongs to the end of an epoch or stage before the next; False once all is done."""
        return next(self._windows, None) is not None

    def close(self) -> None:
        """Leave the stage that training stands in; what it changed of the run is undone."""
        self._windows.close()

    def _train(self) -> Generator[Position]:
        position = self.position
        for number in range(position.stage, len(self.plan.stages)):
            if number > position.stage:
                position.stage, position.epoch, position.batch = number, 0, 0
            with self.plan.entered(self.run, number) as bindings:
                self.observer.stage_started(self.run, position)
                yield from self._stage(self.plan.stages[number].epochs, bindings)
        self.observer.finished(self.run, position)

    def _stage(self, epochs: int, bindings: Sequence[Binding]) -> Generator[Position]:
        run, position, observer = self.run, self.position, self.observer
        batches = self.feed.batches
        while position.epoch < epochs and not observer.should_stop:
            for window in self.feed.windows(position.epoch, start=position.batch, size=run.needs.window or 1):
                self._at(Progress(position.epoch, epochs, position.batch, batches), bindings)
                update_teacher(run, window)
                for batch in window:
                    self._at(Progress(position.epoch, epochs, batch.number, batches), bindings)
                    trained = train_step(run, batch)
                    position.batch = batch.number + 1
                    observer.stepped(run, position, trained)
                observer.window_done(run, position)
                yield position
            # Also where a run was resumed after the epoch's last window, and no batch of it is left.
            self._at(Progress(position.epoch, epochs, max(batches - 1, 0), batches), bindings)
            position.epoch, position.batch = position.epoch + 1, 0
            observer.epoch_done(run, position)

    def _at(self, progress: Progress, bindings: Sequence[Binding]) -> None:
        self.run.progress = progress
        for binding in bindings:
            binding.apply(progress)


def train(run: Run, plan: StagePlan, feed: Feed, observer: Observer, position: Position) -> None:
    """Train from `position` to the end of the plan."""
    loop = Loop(run, plan, feed, observer, position)
    try:
        while loop.advance():
            pass
    finally:
        loop.close()
