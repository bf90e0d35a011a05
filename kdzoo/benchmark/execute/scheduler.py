"""Which job is carried out when, and what is told of it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from kdzoo.benchmark.execute.events import CellDone, CellFailed, OnEvent, TeacherDone
from kdzoo.benchmark.execute.executor import Executor
from kdzoo.benchmark.execute.job import Job, Outcome, record_failure
from kdzoo.errors import RunFailed

TICK = 0.2
"""Seconds between two looks at the workers' events."""


def carry_out_all(jobs: Sequence[Job], executor: Executor, tell: OnEvent, stopped: threading.Event) -> None:
    """Carry out jobs in order, each after those that it needs, until all have ended or `stopped` is set.

    Raises RunFailed if a worker process died.
    """
    waiting, running = list(jobs), dict[Future[Outcome], Job]()
    ended, names = dict[str, Outcome](), {job.name for job in jobs}
    try:
        while (waiting or running) and not stopped.is_set():
            for job in _ready(waiting, ended, names)[: executor.room - len(running)]:
                waiting.remove(job)
                broken = next((name for name in sorted(job.after) if name in ended and ended[name].error), None)
                if broken is None:
                    running[executor.submit(job)] = job
                else:
                    ended[job.name] = _refused(job, f"its {broken} failed: {ended[broken].error}")
                    tell_end(job, ended[job.name], tell)
            done, _ = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
            executor.pump()
            for future in done:
                job = running.pop(future)
                ended[job.name] = _outcome(future, job)
                tell_end(job, ended[job.name], tell)
    except BrokenProcessPool:
        raise RunFailed(
            "a worker process died, most likely for lack of memory: start again with fewer workers; finished cells are kept. "
            'In a script, the call must stand under `if __name__ == "__main__":`.'
        ) from None
    finally:
        executor.close(stop=bool(waiting or running))


def tell_end(job: Job, outcome: Outcome, tell: OnEvent, *, again: bool = False) -> None:
    """Report how a job ended; nothing of an interrupted one."""
    if outcome.error is not None:
        tell(CellFailed(job.row, job.seed, outcome.error))
    elif outcome.value is not None and job.seed is None:
        tell(TeacherDone(job.row, outcome.metric, outcome.value, again))
    elif outcome.value is not None and job.seed is not None:
        tell(CellDone(job.row, job.seed, outcome.metric, outcome.value, again))


def _ready(waiting: Sequence[Job], ended: Mapping[str, Outcome], names: Set[str]) -> list[Job]:
    """The jobs all of whose needs have ended; what is not among `names` was done before."""
    return [job for job in waiting if job.after & names <= ended.keys()]


def _outcome(future: Future[Outcome], job: Job) -> Outcome:
    try:
        outcome = future.result()
    except BrokenProcessPool:
        raise
    except Exception as error:  # the job could not be sent to the process
        outcome = _refused(job, f"it could not be sent to a worker process ({error}); use workers=1.")
    for text in outcome.warnings:
        warnings.warn(text, stacklevel=2)
    return outcome


def _refused(job: Job, sentence: str) -> Outcome:
    record_failure(job.folder, sentence)
    return Outcome(error=sentence)
