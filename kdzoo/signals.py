"""SIGINT and SIGTERM for the length of a block: the first is noted, so that work can end in order; a second acts at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def _put_back() -> Iterator[dict[signal.Signals, Any]]:
    """The handlers of these signals, which stand again after the block; none outside the main thread: Python has none there."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in STOPPING} if in_main else {}
    try:
        yield before
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def listening(heard: Callable[[int], object], *, again: Callable[[int], object] | None = None) -> Iterator[None]:
    """Call `heard(number)` for the first of these signals, and put the handlers of before back after the block.

    A second one calls `again(number)`; without it the handlers of before are put back by the first, so that they act.
    Outside the main thread, where Python allows no handlers, nothing is installed. A signal that `interrupting` has raised, and
    that somebody has swallowed, is heard at once.
    """
    with _put_back() as before:
        if before and interrupted():
            heard(signal.SIGINT)

        count = 0

        def handler(number: int, _: object) -> None:
            nonlocal count
            count += 1
            if again is None:
                signal.signal(number, before[signal.Signals(number)])
            if count == 1 or again is None:
                heard(number)
            else:
                again(number)

        for number in before:
            signal.signal(number, handler)
        yield


def ending_silently() -> None:
    """Let both signals end this process as the system does, where nothing here listens: Python would show a traceback.

    For a program's own process, before its work begins; also holds while the interpreter shuts down. A signal that the parent
    process has switched off stays so.
    """
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class _Raising:
    """A handler that raises KeyboardInterrupt, and remembers that it did: a library that is being imported may swallow it."""

    raised = False

    def __call__(self, number: int, frame: object) -> None:
        self.raised = True
        raise KeyboardInterrupt


@contextmanager
def interrupting() -> Iterator[None]:
    """Let both signals raise KeyboardInterrupt for the length of a block, where no `listening` is within it.

    Outside the main thread nothing is installed; a signal that the parent process has switched off stays so.
    """
    with _put_back() as before:
        handler = _Raising()
        for number, earlier in before.items():
            if earlier is not signal.SIG_IGN:
                signal.signal(number, handler)
        yield


def interrupted() -> bool:
    """Whether a signal has come in the block of `interrupting` that this process is in."""
    handlers = [signal.getsignal(number) for number in STOPPING]
    return any(isinstance(handler, _Raising) and handler.raised for handler in handlers)


def leave_at_once(number: int) -> None:
    """End this process without cleaning up, as after a second Ctrl-C: an exception would come while processes are waited for.

    Files are replaced whole and locks end with the process, so nothing is lost but what is not in a checkpoint yet.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("\x1b[?25hinterrupted at once.\n" if sys.stderr.isatty() else "interrupted at once.\n")
        sys.stderr.flush()
    os._exit(130)


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
