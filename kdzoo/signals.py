"""SIGINT and SIGTERM for the length of a block: the first is noted, so that work can end in order; a second acts at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def listening(heard: Callable[[int], object]) -> Iterator[None]:
    """Call `heard(number)` for the first of these signals, and put the handlers of before back then, and after the block.

    Outside the main thread, where Python allows no handlers, nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def handler(number: int, _: object) -> None:
        heard(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in STOPPING:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


class Stop:
    """Whether a signal asked this process to end in order: `signal` is its number, or None.

    One object serves all that go on in the process; whoever enters `listening` first installs the handlers.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._listening = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM politely for the length of a block; a second one acts at once."""
        if self._listening:
            yield
            return
        self._listening = True
        try:
            with listening(self._heard):
                yield
        finally:
            self._listening = False

    def _heard(self, number: int) -> None:
        self.signal = number


def stop_this_process() -> None:
    """Raise SIGTERM here, which whoever listens in this process takes as the wish to end in order."""
    signal.raise_signal(signal.SIGTERM)


def raise_again(number: int) -> None:
    """Pass on a signal that was noted, to whoever listens here now."""
    signal.raise_signal(number)


def ignore_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to a whole group of processes, to the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
