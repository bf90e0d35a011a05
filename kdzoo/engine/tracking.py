"""Trackers beside the run's own log. A failing tracker is reported once and left alone; it never stops a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kdzoo.protocol.roles import Tracker
from kdzoo.recipe.build import build

DONE = "done"
"""The record that a finished run ends its log with: its test metrics, which are the trackers' summary."""


class Called(NamedTuple):
    """What trackers call a run, and the bench whose cell it is ('' for a run alone)."""

    name: str
    group: str = ""


class Guarded:
    """A tracker behind a guard: called with the log's records and their lines, silenced at its first failure."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name, self.tracker, self.alive = name, tracker, True
        self.step = 0
        self.summary: dict[str, float] = {}

    def call(self, action: Callable[[], None]) -> None:
        if not self.alive:
            return
        try:
            action()
        except Exception as error:  # whatever a tracker's library throws, the run goes on
            self.alive = False
            warnings.warn(f"tracker {self.name!r} failed and is left out from now on: {error}", stacklevel=3)

    def __call__(self, record: Mapping[str, Any], line: int) -> None:
        self.step = record.get("step", self.step)
        numbers = dict(_numbers(record, ""))
        if record.get("event") == DONE:
            self.summary = numbers
        self.call(lambda: self.tracker.log(numbers, step=self.step, line=line))


@contextmanager
def tracking(settings: Mapping[str, Any], folder: Path, called: Called | None = None) -> Iterator[Sequence[Guarded]]:
    """The recipe's trackers, started; finished at the end with the last record's numbers, also after a failure."""
    specs = settings["runtime"]["trackers"]
    name, group = called or Called(settings["name"] or "run")
    trackers = [Guarded(s["use"], build("trackers", s, f"runtime.trackers[{n}]")) for n, s in enumerate(specs)]  # type: ignore[arg-type]
    for guarded in trackers:
        guarded.call(lambda g=guarded: g.tracker.start(name=name, group=group, folder=folder, settings=settings))  # type: ignore[misc]
    try:
        yield trackers
    finally:
        for guarded in trackers:
            guarded.call(lambda g=guarded: g.tracker.finish(g.summary))  # type: ignore[misc]


def _numbers(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + key, float(value)
