"""Signals: the first is noted, what was installed before comes back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from kdzoo import signals


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_signal_is_noted_and_the_second_acts_as_before() -> None:
    heard: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    with signals.listening(heard.append):
        signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_handlers_come_back_after_a_failure_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), signals.listening(lambda number: None):
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_process_that_stops_itself_is_heard() -> None:
    heard: list[int] = []
    with signals.listening(heard.append):
        signals.stop_this_process()
    assert heard == [signal.SIGTERM]


def test_another_thread_installs_nothing() -> None:
    found: list[bool] = []

    def listen() -> None:
        before = signal.getsignal(signal.SIGINT)
        with signals.listening(lambda number: None):
            found.append(signal.getsignal(signal.SIGINT) is before)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [True]
