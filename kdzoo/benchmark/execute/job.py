"""One piece of work for a worker process: a run and the folder it goes to; and what became of it."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo import signals
from kdzoo.benchmark.execute.events import CellProgress, CellStarted, OnEvent, Said
from kdzoo.errors import Interrupted, KdzooError

if TYPE_CHECKING:
    from kdzoo.recipe.load import Recipe

ERROR = "error.txt"
SMALLEST = 0.01
"""Progress in smaller steps than this is not reported."""


@dataclass(frozen=True)
class Job:
    """A run to carry out.

    Attributes:
        name: unique in a bench; row, seed: what events call it (a teacher has no seed).
        after: names of the jobs that must be done before.
        bench: the bench's name, for trackers.
    """

    name: str
    row: str
    seed: int | None
    recipe: Recipe
    folder: Path
    after: frozenset[str] = frozenset()
    force: bool = False
    bench: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with its headline test metric, with an error's sentence, or interrupted (neither)."""

    metric: str = ""
    value: float | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()


def carry_out(job: Job, tell: OnEvent, stopping: Callable[[], bool]) -> Outcome:
    """Do it, in this process. Nothing is raised; a failure's traceback goes to `error.txt` in the job's folder."""
    if stopping():
        return Outcome()
    tell(CellStarted(job.row, job.seed))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        outcome = _tried(job, _Listener(job, tell, stopping))
    return Outcome(outcome.metric, outcome.value, outcome.error, tuple(dict.fromkeys(str(w.message) for w in caught)))


def record_failure(folder: Path, sentence: str, details: str = "") -> None:
    """Leave an error where the report will find it."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ERROR).write_text(f"{' '.join(sentence.split())}\n\n{details}".rstrip() + "\n")


def _tried(job: Job, listener: _Listener) -> Outcome:
    from kdzoo.engine.launch import launch
    from kdzoo.engine.tracking import Called

    called = Called(job.name, job.bench)
    try:
        result = launch(
            job.recipe, folder=job.folder, force=job.force, listeners=[listener], tell=listener.heard, called=called
        )
        return Outcome(result.values["metric"], result.metric)
    except Interrupted:
        return Outcome()
    except KdzooError as error:
        # Behind a plugin's failure is an exception of its own, which whoever mends it wants to see.
        record_failure(job.folder, str(error), traceback.format_exc() if error.__cause__ else "")
        return Outcome(error=str(error))
    except Exception as error:  # a cell's failure is a result; the bench goes on
        sentence = f"{type(error).__name__}: {error}"
        record_failure(job.folder, sentence, traceback.format_exc())
        return Outcome(error=f"{sentence} (traceback in {job.folder / ERROR})")


class _Listener:
    """Hears the run's log: reports progress, and passes a wish to stop on as the signal that the engine minds in training.

    Only once: the engine lets a second one act at once.
    """

    def __init__(self, job: Job, tell: OnEvent, stopping: Callable[[], bool]) -> None:
        self.job, self.tell, self.stopping = job, tell, stopping
        self.told, self.stopped = 0.0, False

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
        if not self.stopped and self.stopping():
            self.stopped = True
            signals.stop_this_process()
