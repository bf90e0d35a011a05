"""The run's own log: one JSON object a line, losses fetched from the device only at logging intervals, NaNs named."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from kdzoo.engine.observers import Observer
from kdzoo.engine.run import Run
from kdzoo.errors import RunFailed
from kdzoo.protocol.outputs import ENGINE, Step

if TYPE_CHECKING:
    from kdzoo.engine.loop import Position


class MetricsLog(Observer):
    """Writes `metrics.jsonl` and passes every record on to the listeners (trackers, the progress bar).

    Only the first process has a path; the others watch for NaNs and write nothing.
    """

    def __init__(self, path: Path | None, log_every: int, listeners: Sequence[Callable[[dict[str, Any]], None]] = ()) -> None:
        self.path, self.log_every, self.listeners = path, log_every, list(listeners)
        self.waiting: list[tuple[float, dict[str, Tensor]]] = []
        self.fetched: list[dict[str, float]] = []
        self.lines = 0
        self.samples, self.since = 0, time.perf_counter()

    def stepped(self, run: Run, position: Position, steps: Sequence[Step]) -> None:
        for step in steps:
            self.waiting.append((step.batch.size / sum(s.batch.size for s in steps), step.stash[ENGINE]))
        self.samples += steps[0].batch.whole
        if position.batch % self.log_every == 0:
            self._write_losses(run, position)

    def epoch_done(self, run: Run, position: Position) -> None:
        self._write_losses(run, position)
        if run.notes:
            self.write({"event": "notes", "stage": run.stage, "epoch": position.epoch, **run.notes})
            run.notes = {}

    def state(self) -> dict[str, Any]:
        self._fetch()
        return {"lines": self.lines, "fetched": self.fetched}

    def restore(self, state: dict[str, Any]) -> None:
        """Forget what was logged after the checkpoint: it will be logged again, the same."""
        self.lines, self.fetched = state.get("lines", 0), state.get("fetched", [])
        if self.path is not None and self.path.exists():
            self.path.write_text("".join(self.path.read_text().splitlines(keepends=True)[: self.lines]))

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        if self.path is None:
            return
        self.lines += 1
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        for listener in self.listeners:
            listener(record)

    def _fetch(self) -> None:
        """Bring waiting losses to the host in one transfer and make sure that they are numbers."""
        if not self.waiting:
            return
        keys = [list(terms) for _, terms in self.waiting]
        values = [value for _, terms in self.waiting for value in terms.values()]
        flat = iter(torch.stack([v.float() for v in values]).tolist() if values else [])
        for (share, _), names in zip(self.waiting, keys, strict=True):
            losses = {name: next(flat) for name in names}
            bad = [f"methods.{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
            if bad:
                raise RunFailed(
                    f"a loss is no longer a number: {', '.join(bad)}; lower the learning rate, "
                    "clip gradients with train.clip=1, or use train.precision=fp32."
                )
            self.fetched.append({"share": share, **losses})
        self.waiting = []

    def _write_losses(self, run: Run, position: Position) -> None:
        self._fetch()
        if not self.fetched:
            return
        shares = sum(entry["share"] for entry in self.fetched)
        names = dict.fromkeys(name for entry in self.fetched for name in entry if name != "share")
        terms = {n: sum(e["share"] * e.get(n, 0.0) for e in self.fetched) / shares for n in names}
        weights = run.weights_now
        loss = sum(weights[n.split(".")[0]].get(n.split(".")[1], 0.0) * value for n, value in terms.items())
        now = time.perf_counter()
        self.write(
            {
                "event": "step",
                "stage": run.stage,
                "epoch": run.progress.epoch,
                "step": run.progress.step + 1,
                "steps": run.progress.steps,
                "loss": loss,
                "terms": terms,
                "lr": {role: rates["lr"] for role, rates in run.rates.items() if "lr" in rates},
                "samples_per_second": round(self.samples / max(now - self.since, 1e-9), 1),
            }
        )
        self.fetched, self.samples, self.since = [], 0, now
