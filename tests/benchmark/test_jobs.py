"""A job by itself, and the order of many with an executor that only pretends."""

import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark.execute.events import CellFailed, CellProgress
from kdzoo.benchmark.execute.job import Job, Outcome, Work, carry_out
from kdzoo.benchmark.execute.scheduler import carry_out_all
from kdzoo.benchmark.plan.bench_plan import make_plan
from kdzoo.errors import RunFailed
from kdzoo.recipe.load import Recipe


class Pretending:
    """Ends each job at once, as `outcomes` say; `refusing` breaks."""

    room = 2

    def __init__(self, outcomes: Any = None, refusing: bool = False) -> None:
        self.outcomes, self.refusing, self.order, self.closed = outcomes or {}, refusing, [], None

    def submit(self, work: Any) -> Future:
        self.order += [job.name for job in work.jobs]
        future = Future()
        if self.refusing:
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(tuple(self.outcomes.get(job.name, Outcome("top1", 1.0)) for job in work.jobs))
        return future

    def pump(self) -> None:
        pass

    def close(self, *, stop: Any) -> None:
        self.closed = stop


def job(name: str, folder: Path, *after: Any) -> Job:
    return Job(name, name, None if name.startswith("teacher") else 0, Recipe({}), folder / name, frozenset(after))


def works(*jobs: Any) -> list[Work]:
    return [Work((job,)) for job in jobs]


@pytest.fixture
def teacher(tiny: Any) -> Work:
    return Work((next(job for job in make_plan(tiny, []).jobs if job.seed is None),))


def test_a_wish_to_stop_ends_a_run_with_a_checkpoint_from_which_it_goes_on(teacher: Work) -> None:
    answers = iter([False])
    folder = teacher.jobs[0].folder
    assert carry_out(teacher, print, lambda: next(answers, True)) == (Outcome(),)
    assert not (folder / "result.json").exists()
    assert any((folder / "checkpoints").iterdir())
    assert carry_out(teacher, print, lambda: False)[0].value is not None


def test_a_wish_to_stop_that_comes_after_the_last_step_changes_nothing(teacher: Work) -> None:
    told = []
    (outcome,) = carry_out(teacher, told.append, lambda: any(isinstance(e, CellProgress) and e.fraction == 1 for e in told))
    assert outcome.value is not None


def test_progress_grows_to_the_whole(teacher: Work) -> None:
    told = []
    carry_out(teacher, told.append, lambda: False)
    fractions = [event.fraction for event in told if isinstance(event, CellProgress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_job_waits_for_those_that_it_needs_and_others_go_first(tmp_path: Path) -> None:
    jobs = [job("teacher", tmp_path), job("a", tmp_path, "teacher"), job("b", tmp_path), job("c", tmp_path)]
    executor = Pretending()
    events = []
    carry_out_all(works(*jobs), executor, events.append, threading.Event())
    assert executor.order == ["teacher", "b", "a", "c"]
    assert sorted(type(event).__name__ for event in events) == ["CellDone"] * 3 + ["TeacherDone"]
    assert executor.closed is False


def test_what_was_done_before_is_not_waited_for(tmp_path: Path) -> None:
    executor = Pretending()
    carry_out_all(works(job("a", tmp_path, "teacher of old")), executor, print, threading.Event())
    assert executor.order == ["a"]


def test_jobs_whose_teacher_failed_are_not_started(tmp_path: Path) -> None:
    jobs = [job("teacher", tmp_path), job("a", tmp_path, "teacher"), job("b", tmp_path)]
    executor = Pretending({"teacher": Outcome(error="it broke")})
    events = []
    carry_out_all(works(*jobs), executor, events.append, threading.Event())
    assert executor.order == ["teacher", "b"]
    assert CellFailed("a", 0, "its teacher failed: it broke") in events
    assert (tmp_path / "a" / "error.txt").read_text() == "its teacher failed: it broke\n"


def test_once_stopped_nothing_more_is_submitted_and_the_executor_hears_of_it(tmp_path: Path) -> None:
    stopped = threading.Event()
    executor = Pretending()
    carry_out_all(works(*(job(name, tmp_path) for name in "abcdef")), executor, lambda event: stopped.set(), stopped)
    assert executor.order == ["a", "b"]
    assert executor.closed is True


def test_a_dead_worker_ends_the_bench_with_a_sentence(tmp_path: Path) -> None:
    executor = Pretending(refusing=True)
    with pytest.raises(RunFailed, match=r"a worker process died, .* start again with fewer workers"):
        carry_out_all(works(job("a", tmp_path)), executor, print, threading.Event())
