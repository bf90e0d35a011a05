"""What a run costs in wall time, also where it takes turns with others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kdzoo.engine.source import Source


class Stopwatch:
    """Counts a run's own turns, and an equal part of what was done for all who share its source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.done = 0.0  # in earlier turns, without what was common
        self.before = source.common_seconds
        self._turn()

    def seconds(self) -> float:
        """Wall time until now."""
        return self.done + self._own() + (self.source.common_seconds - self.before) / self.source.runs

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It is others' turn in this block."""
        self.done += self._own()
        try:
            yield
        finally:
            self._turn()

    def _turn(self) -> None:
        self.since, self.common = time.perf_counter(), self.source.common_seconds

    def _own(self) -> float:
        return time.perf_counter() - self.since - (self.source.common_seconds - self.common)
