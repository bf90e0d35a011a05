"""The run's own log: one JSON object a line, losses fetched from the device only at logging intervals, NaNs named."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.training_step import TrainedMicro
from kdzoo.errors import RunFailed


class MetricsLog(Observer):
    """Writes `metrics.jsonl` and passes every record on: to listeners (the progress bar) and, with its line, to trackers.

    Only the first process has a path; the others watch for NaNs and write nothing.

    Args: clock: the run's time in seconds, for the samples a second.
    """

    def __init__(
        self,
        path: Path | None,
        log_every: int,
        listeners: Sequence[Callable[[dict[str, Any]], None]] = (),
        *,
        trackers: Sequence[Callable[[dict[str, Any], int], None]] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.path, self.log_every, self.clock = path, log_every, clock
        self.listeners, self.trackers = list(listeners), list(trackers)
        self.waiting: list[list[tuple[Mapping[str, float], Mapping[str, Tensor]]]] = []
        self.fetched: list[dict[str, float]] = []
        self.lines = 0
        self.samples, self.since = 0, clock()

    def stepped(self, run: Run, position: Position, trained: Sequence[TrainedMicro]) -> None:
        self.waiting.append([(micro.shares, micro.values) for micro in trained])
        self.samples += trained[0].whole
        if position.batch % self.log_every == 0:
            self._write_losses(run, position)

    def epoch_done(self, run: Run, position: Position) -> None:
        self._write_losses(run, position)
        if run.notes:
            notes = {name: float(value) for name, value in run.notes.items()}
            self.write({"event": "notes", "stage": run.stage, "epoch": position.epoch, **notes})
            run.notes = {}

    def state(self) -> dict[str, Any]:
        self._fetch()
        return {"lines": self.lines, "fetched": self.fetched}

    def restore(self, state: dict[str, Any]) -> None:
        """Forget what was logged after the checkpoint: it will be logged again, the same."""
        self.lines, self.fetched = state.get("lines", 0), state.get("fetched", [])
        if self.path is not None and self.path.exists():
            lines = self.path.read_bytes().splitlines(keepends=True)
            os.truncate(self.path, sum(map(len, lines[: self.lines])))  # at once: no kill leaves less than that

    def write(self, record: dict[str, Any]) -> None:
        """Append one record, with the time of day."""
        if self.path is None:
            return
        record = {**record, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        self.lines += 1
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for listener in self.listeners:
            listener(record)
        for tracker in self.trackers:
            tracker(record, self.lines)

    def _fetch(self) -> None:
        """Bring waiting losses to the host in one transfer and make sure that they are numbers."""
        if not self.waiting:
            return
        values = [value for step in self.waiting for _, terms in step for value in terms.values()]
        flat = iter(torch.stack([v.float() for v in values]).tolist() if values else [])
        for step in self.waiting:
            sums: dict[str, float] = {}
            shares: dict[str, float] = {}
            for own, terms in step:
                losses = {name: next(flat) for name in terms}
                bad = [f"methods.{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
                if bad:
                    raise RunFailed(
                        f"a loss is no longer a number: {', '.join(bad)}; lower the learning rate, "
                        "clip gradients with train.clip=1, or use train.precision=fp32."
                    )
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + own[name] * value
                    shares[name] = shares.get(name, 0.0) + own[name]
            self.fetched.append({name: total / shares[name] for name, total in sums.items()})
        self.waiting = []

    def _write_losses(self, run: Run, position: Position) -> None:
        self._fetch()
        if not self.fetched:
            return
        names = dict.fromkeys(name for step in self.fetched for name in step)
        terms = {name: fmean(step[name] for step in self.fetched if name in step) for name in names}
        weighted = {name: _weight(run, name) * value for name, value in terms.items()}
        size = sum(map(abs, weighted.values()))
        now = self.clock()
        self.write(
            {
                "event": "step",
                "stage": run.stage,
                "epoch": run.progress.epoch,
                "epochs": run.progress.epochs,
                "step": run.progress.step + 1,
                "steps": run.progress.steps,
                "loss": math.fsum(weighted.values()),
                "terms": terms,
                "shares": {name: abs(value) / size if size else 0.0 for name, value in weighted.items()},
                "lr": {role: rates["lr"] for role, rates in run.rates.items() if "lr" in rates},
                "samples_per_second": round(self.samples / max(now - self.since, 1e-9), 1),
            }
        )
        self.fetched, self.samples, self.since = [], 0, now


def _weight(run: Run, name: str) -> float:
    label, _, term = name.partition(".")
    return run.weights_now[label].get(term, 0.0)
