"""Watches what a run costs while it trains, over interruptions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from kdzoo.engine.costs import Costs, peak_memory, watch_memory
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.training_step import TrainedMicro


class CostWatch(Observer):
    """Wall time of the run and of its training, without evaluations; what the run itself counts is in `run.costs`.

    It stands behind the log, which waits for the device at the end of an epoch, and before whatever evaluates.

    Args:
        clock: seconds that the run has taken in this process; by default wall time.
    """

    def __init__(self, run: Run, clock: Callable[[], float] = time.perf_counter) -> None:
        self.run, self.clock = run, clock
        self.started = clock()
        self.before = 0.0  # seconds up to the last checkpoint of an earlier process
        self.training = 0.0
        self.since: float | None = None  # the start of an epoch
        run.costs = Costs(count=not run.compiled)
        watch_memory(run.device)

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return self.before + self.clock() - self.started

    def stage_started(self, run: Run, position: Position) -> None:
        self.since = self.clock()

    def stepped(self, run: Run, position: Position, trained: Sequence[TrainedMicro]) -> None:
        if self.since is None:
            self.since = self.clock()
        run.costs.samples += trained[0].whole

    def epoch_done(self, run: Run, position: Position) -> None:
        self._pause()

    def window_done(self, run: Run, position: Position) -> None:
        now = self.clock()
        self.training += 0.0 if self.since is None else now - self.since
        self.since = now

    def _pause(self) -> None:
        if self.since is not None:
            self.training += self.clock() - self.since
        self.since = None

    def figures(self) -> dict[str, Any]:
        """What goes into `result.json`: seconds, samples a second in training, forwards, operations, bytes.

        Of a run in a cohort, CPU time, teacher forwards and operations are those that it would have had alone; wall time and
        samples a second are those that it had, an equal part of the common work among them; bytes are the whole cohort's.
        """
        costs, processes = self.run.costs, self.run.processes.size
        forwards = sum(costs.asked[name] for name in self.run.teachers)
        found: dict[str, Any] = {
            "training_seconds": round(self.training, 3),
            "cpu_seconds": round(costs.cpu_seconds, 3),
            "samples": costs.samples,
            "teacher_forwards": forwards * processes,
            "peak_bytes": peak_memory(self.run.device),
        }
        if self.training > 0:
            found["samples_per_second"] = round(costs.samples / self.training, 1)
        if costs.flops is not None:
            found["training_flops"] = costs.flops * processes
        return found

    def state(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "training": self.training, "counted": self.run.costs.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.before, self.training = state.get("seconds", 0.0), state.get("training", 0.0)
        self.run.costs.restore(state.get("counted", {}))
