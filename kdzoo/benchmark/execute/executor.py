"""Where work is carried out: in this process, or in a pool of processes that are reused for many pieces of it.

Anything with these three methods will do; that is where an executor for many machines fits in.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import Protocol

from kdzoo import registry, signals
from kdzoo.benchmark.execute.events import Event, OnEvent
from kdzoo.benchmark.execute.job import Outcome, Work, carry_out

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Executor(Protocol):
    """Carries out work; used by one thread."""

    @property
    def room(self) -> int:
        """How many pieces it takes at a time, a few more than it carries out, so that none of its workers waits."""

    def submit(self, work: Work) -> Future[tuple[Outcome, ...]]: ...

    def pump(self) -> None:
        """Hand on the events that came in."""

    def close(self, *, stop: bool) -> None:
        """Wait for what runs; with `stop`, have it write a checkpoint and end."""


class Inline:
    """One piece at a time, in this process: a signal reaches the run itself, and in-process plugins are there."""

    room = 1

    def __init__(self, tell: OnEvent, stopped: threading.Event) -> None:
        self.tell, self.stopped = tell, stopped

    def submit(self, work: Work) -> Future[tuple[Outcome, ...]]:
        future: Future[tuple[Outcome, ...]] = Future()
        outcomes = carry_out(work, self.tell, self.stopped.is_set)
        if any(outcome.interrupted for outcome in outcomes):
            self.stopped.set()
        future.set_result(outcomes)
        return future

    def pump(self) -> None:
        pass

    def close(self, *, stop: bool) -> None:
        pass


class Pool:
    """Spawned processes with `threads` threads each. The user's plugin files are loaded in each of them.

    Args: gpus: names of those that this process sees; each worker gets one, in turn, and sees no other.
    """

    def __init__(self, tell: OnEvent, *, workers: int, threads: int, plugins: Sequence[Path], gpus: Sequence[str] = ()) -> None:
        context = multiprocessing.get_context("spawn")
        self.tell, self.room = tell, workers + 1
        self.events: SimpleQueue[Event] = context.SimpleQueue()
        self.flag = context.Event()
        own: SimpleQueue[str] = context.SimpleQueue()
        for gpu in dealt(gpus, workers):
            own.put(gpu)
        given = (self.events, self.flag, threads, [str(path.resolve()) for path in plugins], own if gpus else None)
        self.pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=given)

    def submit(self, work: Work) -> Future[tuple[Outcome, ...]]:
        return self.pool.submit(_carry_out, work)

    def pump(self) -> None:
        while not self.events.empty():
            self.tell(self.events.get())

    def close(self, *, stop: bool) -> None:
        if stop:
            self.flag.set()
        self.pool.shutdown(cancel_futures=stop)


def on_this_machine(
    tell: OnEvent,
    stopped: threading.Event,
    *,
    workers: int,
    threads: int,
    gpus: Sequence[str],
) -> Executor:
    """The executor for so many processes, which load the plugin files of this one; with one, all is done in this one."""
    if workers == 1:
        return Inline(tell, stopped)
    return Pool(tell, workers=workers, threads=threads, plugins=registry.loaded_files(), gpus=gpus)


class Kept:
    """An executor that goes on after one lot of work for the next; whoever made it closes it."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.submit, self.pump = executor, executor.submit, executor.pump

    @property
    def room(self) -> int:
        return self.executor.room

    def close(self, *, stop: bool) -> None:
        self.pump()


def dealt(gpus: Sequence[str], workers: int) -> list[str]:
    """A GPU for each worker, in turn; none where there are none."""
    return [gpus[number % len(gpus)] for number in range(workers if gpus else 0)]


class _Worker:
    """What a worker process knows. Set when it begins, for a pool can hand such things to its jobs in no other way."""

    events: SimpleQueue[Event]
    flag: Flag


def _begin(events: SimpleQueue[Event], flag: Flag, threads: int, plugins: Sequence[str], gpus: SimpleQueue[str] | None) -> None:
    for name in THREAD_SETTINGS:  # read when torch is imported, which is later
        os.environ[name] = str(threads)
    if gpus is not None:
        os.environ[VISIBLE_GPUS] = gpus.get()  # read at the first call of CUDA
    signals.ignore_interrupts()  # between runs the parent decides; in a run the engine listens
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.events, _Worker.flag = events, flag
    for path in plugins:
        registry.load_file(path)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _carry_out(work: Work) -> tuple[Outcome, ...]:
    return carry_out(work, _Worker.events.put, _Worker.flag.is_set)
