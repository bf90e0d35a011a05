"""One feed for several runs: who stands at the same place gets the same batches, loaded, augmented and answered once."""

from __future__ import annotations

from collections.abc import Iterator

from kdzoo.engine.feed import Feed
from kdzoo.engine.run import Run
from kdzoo.protocol.outputs import Batch


class SharedFeed(Feed):
    """The feed of a source for runs whose methods prepare no batch.

    It keeps one window, with what frozen teachers said of it, until somebody asks for another; so runs that take turns window
    by window share everything, and one that stands elsewhere still gets its own.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        assert self.prepare is None, "a method that prepares batches may do so by its own state, so its run has its own feed"
        self._place: tuple[int, int, int] | None = None  # epoch, batch, size of the window at hand
        self._window: list[Batch] = []
        self._rest: Iterator[list[Batch]] = iter(())
        self._next: tuple[int, int, int] | None = None  # where the rest begins

    def windows(self, epoch: int, *, start: int, size: int) -> Iterator[list[Batch]]:
        while start < self.batches:
            window = self._at((epoch, start, size))
            yield window
            start += len(window)

    def _at(self, place: tuple[int, int, int]) -> list[Batch]:
        """The window that begins there."""
        if place != self._place:
            self._forget()
            epoch, start, size = place
            if place != self._next:
                self._rest = super().windows(epoch, start=start, size=size)
            self._place = self._next = None  # if loading fails, the next run that asks begins anew
            with self.source.common():
                self._window = next(self._rest)
            self._place, self._next = place, (epoch, start + len(self._window), size)
        return self._window

    def _forget(self) -> None:
        """Runs that have moved on hold the old window a little longer, but not what it weighs."""
        for batch in self._window:
            for micro in batch.micros:
                micro.answers.clear()
