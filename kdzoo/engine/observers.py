"""Observers: what watches a run without changing it. A small, read-only list of events, called in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.training_step import TrainedMicro


class Observer:
    """Base: ignores every event. `should_stop` asks the loop to end the stage; `state` must be plain JSON data."""

    should_stop = False

    def stage_started(self, run: Run, position: Position) -> None:
        """A stage was entered (or resumed)."""

    def stepped(self, run: Run, position: Position, trained: Sequence[TrainedMicro]) -> None:
        """An optimizer step is done; `trained` is what is kept of the first learner's micro-batches."""

    def window_done(self, run: Run, position: Position) -> None:
        """A window is done: the only moment at which a checkpoint is exact."""

    def epoch_done(self, run: Run, position: Position) -> None:
        """An epoch is done and `position` points at the next."""

    def finished(self, run: Run, position: Position) -> None:
        """All stages are done."""

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take `state` back."""


class Observers(Observer):
    """Several observers as one, by name."""

    def __init__(self, observers: dict[str, Observer]) -> None:
        self.observers = observers

    @property
    def should_stop(self) -> bool:  # type: ignore[override]
        return any(observer.should_stop for observer in self.observers.values())

    def stage_started(self, run: Run, position: Position) -> None:
        for observer in self.observers.values():
            observer.stage_started(run, position)

    def stepped(self, run: Run, position: Position, trained: Sequence[TrainedMicro]) -> None:
        for observer in self.observers.values():
            observer.stepped(run, position, trained)

    def window_done(self, run: Run, position: Position) -> None:
        for observer in self.observers.values():
            observer.window_done(run, position)

    def epoch_done(self, run: Run, position: Position) -> None:
        for observer in self.observers.values():
            observer.epoch_done(run, position)

    def finished(self, run: Run, position: Position) -> None:
        for observer in self.observers.values():
            observer.finished(run, position)

    def state(self) -> dict[str, Any]:
        return {name: observer.state() for name, observer in self.observers.items()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, observer in self.observers.items():
            observer.restore(state.get(name, {}))
