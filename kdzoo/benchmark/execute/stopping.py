"""The first Ctrl-C lets what runs end in order; the second one ends everything at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kdzoo import signals


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one ends this process, and its workers with it."""
    stopped = threading.Event()
    with signals.listening(lambda _: stopped.set(), again=signals.leave_at_once):
        yield stopped
