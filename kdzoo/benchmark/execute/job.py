"""Work for a process: a run and the folder it goes to, or several that train together; and what became of each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo import signals
from kdzoo.benchmark.execute.events import CellProgress, CellStarted, CohortStarted, OnEvent, Said
from kdzoo.benchmark.execute.failure import Failure, failure_of, record
from kdzoo.errors import Interrupted

if TYPE_CHECKING:
    from kdzoo.engine.cohort import Member
    from kdzoo.engine.results import Result
    from kdzoo.recipe.load import Recipe

SMALLEST = 0.01
"""Progress in smaller steps than this is not reported."""


@dataclass(frozen=True)
class Job:
    """A run to carry out.

    Attributes:
        name: unique in a bench; row, seed: what events call it (a teacher has no seed).
        after: names of the jobs that must be done before. identity: of the run, see `run_identity`.
        bench: the bench's name, for trackers.
    """

    name: str
    row: str
    seed: int | None
    recipe: Recipe
    folder: Path
    after: frozenset[str] = frozenset()
    force: bool = False
    identity: str = ""
    bench: str = ""


@dataclass(frozen=True)
class Work:
    """What one worker does at a time: a job, or a cohort of jobs whose runs share a source.

    Attributes:
        share: of the machine's free memory that is for it.
    """

    jobs: tuple[Job, ...]
    share: float = 1.0

    @property
    def after(self) -> frozenset[str]:
        """Names of the jobs that must be done before."""
        return frozenset().union(*(job.after for job in self.jobs))


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with its headline test metric, with an error's sentence, or interrupted (neither).

    Attributes:
        last: of a failure, the last lines that the run left.
    """

    metric: str = ""
    value: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    last: tuple[str, ...] = ()

    @property
    def interrupted(self) -> bool:
        return self.value is None and self.error is None


def carry_out(work: Work, tell: OnEvent, stopping: Callable[[], bool]) -> tuple[Outcome, ...]:
    """Do it, in this process; an outcome for each job. Nothing is raised; a failure is on record in its job's folder."""
    if stopping():
        return tuple(Outcome() for _ in work.jobs)
    stop = _Stopping(stopping)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        ended = _together(work, tell, stop) if len(work.jobs) > 1 else [_alone(work.jobs[0], tell, stop)]
    said = tuple(dict.fromkeys(str(w.message) for w in caught))
    return tuple(_outcome(job, end, said) for job, end in zip(work.jobs, ended, strict=True))


def refused(job: Job, sentence: str) -> Outcome:
    """The outcome of a job that could not be tried; it will be, at the next bench."""
    record(Failure(sentence, lasting=False), job.folder, job.identity)
    return Outcome(error=sentence)


def _alone(job: Job, tell: OnEvent, stop: _Stopping) -> Result | Exception:
    from kdzoo.engine.launch import launch
    from kdzoo.engine.tracking import Called

    tell(CellStarted(job.row, job.seed))
    try:
        listener = _Listener(job, tell, stop)
        return launch(
            job.recipe,
            folder=job.folder,
            force=job.force,
            listeners=[listener],
            tell=listener.heard,
            called=Called(job.name, job.bench),
        )
    except Exception as error:  # a cell's failure is a result; the bench goes on
        return error


def _together(work: Work, tell: OnEvent, stop: _Stopping) -> list[Result | Exception]:
    from kdzoo.engine.cohort import Cohort, Member
    from kdzoo.engine.tracking import Called

    listeners = [_Listener(job, tell, stop) for job in work.jobs]
    members = [
        Member(job.recipe, job.folder, [listener], job.force, listener.heard, Called(job.name, job.bench))
        for job, listener in zip(work.jobs, listeners, strict=True)
    ]
    left, told = len(members), set[int]()

    def on_wave(wave: Sequence[Member]) -> None:
        nonlocal left
        left -= len(wave)
        tell(CohortStarted(len(wave), left))
        for number, (job, member) in enumerate(zip(work.jobs, members, strict=True)):
            if member in wave and number not in told:
                told.add(number)
                tell(CellStarted(job.row, job.seed))

    try:
        Cohort(members, share=work.share, on_wave=on_wave).train()
    except Exception as error:  # not one run's failure, but of what they share
        for member in members:
            member.ended = member.ended or error
    return [member.ended or Interrupted("interrupted") for member in members]


def _outcome(job: Job, ended: Result | Exception, said: tuple[str, ...]) -> Outcome:
    if isinstance(ended, Interrupted):
        return Outcome(warnings=said)
    if isinstance(ended, Exception):
        failure = failure_of(ended, job.folder)
        record(failure, job.folder, job.identity)
        return Outcome(error=failure.sentence, warnings=said, last=failure.last)
    return Outcome(ended.values["metric"], ended.metric, warnings=said)


class _Stopping:
    """Passes a wish to stop on as the signal that the engine minds in training; once, for a second one would act at once."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self.stopping, self.passed = stopping, False

    def __call__(self) -> None:
        if not self.passed and self.stopping():
            self.passed = True
            signals.stop_this_process()


class _Listener:
    """Hears a run's log: reports progress, and asks whether it should stop."""

    def __init__(self, job: Job, tell: OnEvent, stop: _Stopping) -> None:
        self.job, self.tell, self.stop = job, tell, stop
        self.told = 0.0

    def heard(self, sentence: str) -> None:
        """Pass on what a run says at its start; what all cells say is shown once."""
        self.tell(Said(sentence))

    def __call__(self, record: dict[str, Any]) -> None:
        if record["event"] != "step":
            return
        fraction = record["step"] / record["steps"]
        if not 0 <= fraction - self.told < SMALLEST:
            self.told = fraction
            self.tell(CellProgress(self.job.row, self.job.seed, fraction))
        self.stop()
