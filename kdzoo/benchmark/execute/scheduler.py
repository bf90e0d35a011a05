"""Which work is carried out when, and what is told of it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from kdzoo.benchmark.execute.events import CellDone, CellFailed, OnEvent, TeacherDone
from kdzoo.benchmark.execute.executor import Executor
from kdzoo.benchmark.execute.job import Job, Outcome, Work, refused
from kdzoo.errors import KdzooError, RunFailed

TICK = 0.2
"""Seconds between two looks at the workers' events."""


def carry_out_all(work: Sequence[Work], executor: Executor, tell: OnEvent, stopped: threading.Event) -> None:
    """Carry out work in order, each piece after the jobs that it needs, until all have ended or `stopped` is set.

    Raises RunFailed if a worker process died.
    """
    waiting, running = list(work), dict[Future[tuple[Outcome, ...]], Work]()
    ended, names = dict[str, Outcome](), {job.name for piece in work for job in piece.jobs}

    def end(job: Job, outcome: Outcome) -> None:
        ended[job.name] = outcome
        tell_end(job, outcome, tell)

    try:
        while (waiting or running) and not stopped.is_set():
            for piece in _ready(waiting, ended, names)[: executor.room - len(running)]:
                waiting.remove(piece)
                broken = next((name for name in sorted(piece.after) if name in ended and ended[name].error), None)
                able = [job for job in piece.jobs if broken is None or broken not in job.after]
                for job in piece.jobs:
                    if job not in able:
                        end(job, refused(job, f"its {broken} failed: {ended[str(broken)].error}"))
                if able:
                    able_piece = replace(piece, jobs=tuple(able))
                    running[executor.submit(able_piece)] = able_piece
            done, _ = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
            executor.pump()
            for future in done:
                piece = running.pop(future)
                for job, outcome in zip(piece.jobs, _outcomes(future, piece), strict=True):
                    end(job, outcome)
    except BrokenProcessPool:
        raise RunFailed(
            "a worker process died, most likely for lack of memory: start again with fewer workers, or with --cohort 1; "
            "finished cells are kept, and the others go on from their checkpoints. "
            'In a script, the call must stand under `if __name__ == "__main__":`.'
        ) from None
    finally:
        executor.close(stop=bool(waiting or running))


def tell_end(job: Job, outcome: Outcome, tell: OnEvent, *, again: bool = False) -> None:
    """Report how a job ended; nothing of an interrupted one."""
    if outcome.error is not None:
        tell(CellFailed(job.row, job.seed, outcome.error, outcome.last, again))
    elif outcome.value is not None and job.seed is None:
        tell(TeacherDone(job.row, outcome.metric, outcome.value, again))
    elif outcome.value is not None and job.seed is not None:
        tell(CellDone(job.row, job.seed, outcome.metric, outcome.value, again))


def _ready(waiting: Sequence[Work], ended: Mapping[str, Outcome], names: Set[str]) -> list[Work]:
    """What has all that it needs; what is not among `names` was done before."""
    return [piece for piece in waiting if piece.after & names <= ended.keys()]


def _outcomes(future: Future[tuple[Outcome, ...]], work: Work) -> tuple[Outcome, ...]:
    try:
        outcomes = future.result()
    except BrokenProcessPool:
        raise
    except KdzooError as error:
        outcomes = tuple(refused(job, str(error)) for job in work.jobs)
    except Exception as error:  # the work could not be sent to the process
        sentence = f"it could not be sent to a worker process ({error}); use workers=1."
        outcomes = tuple(refused(job, sentence) for job in work.jobs)
    for text in dict.fromkeys(text for outcome in outcomes for text in outcome.warnings):
        warnings.warn(text, stacklevel=2)
    return outcomes
