"""How a bench cuts its runs into cohorts, and deals out GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kdzoo.benchmark.execute import workers
from kdzoo.benchmark.execute.executor import Pool, dealt
from kdzoo.benchmark.execute.job import Job
from kdzoo.benchmark.plan import cohorts
from kdzoo.engine.cohort import Ground
from kdzoo.recipe.load import Recipe

Make = Callable[..., list[Job]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Jobs `row:seed`; those of one seed stand on one ground, a row that starts with '-' on none."""

    def ground(settings: dict[str, str]) -> Ground | None:
        return None if settings["row"].startswith("-") else Ground(settings["seed"], {})

    def jobs(rows: str, seeds: Sequence[int]) -> list[Job]:
        made = [
            Job(f"{row}:{seed}", row, seed, Recipe({"row": row, "seed": str(seed)}), Path(row))
            for seed in seeds
            for row in rows.split()
        ]
        return [Job("teacher", "t", None, Recipe({}), Path("t")), *made]

    monkeypatch.setattr(cohorts, "ground", ground)
    return jobs


def sizes(jobs: Sequence[Job], **arguments: int) -> list[int]:
    return [len(work.jobs) for work in cohorts.gathered(jobs, **arguments)]


def test_on_one_worker_all_that_are_alike_train_together_after_the_teachers(make: Make) -> None:
    assert sizes(make("a b c -d", [0, 1]), workers=1) == [1, 3, 3, 1, 1]


def test_every_job_is_there_once(make: Make) -> None:
    jobs = make("a b c d e f g -h", [0, 1, 2])
    for count in (1, 2, 3, 8, 40):
        work = cohorts.gathered(jobs, workers=count)
        assert sorted(job.name for piece in work for job in piece.jobs) == sorted(job.name for job in jobs)
        assert {piece.share for piece in work} == {1 / count}


def test_where_there_is_a_worker_for_each_run_none_waits_for_another(make: Make) -> None:
    assert sizes(make("a b c d", [0]), workers=4) == [1, 1, 1, 1, 1]


def test_workers_get_about_the_same(make: Make) -> None:
    assert sizes(make("a b c d e f g h", [0, 1, 2]), workers=2) == [1, 4, 4, 4, 4, 4, 4]
    assert sizes(make("a b c d e f", [0]), workers=2) == [1, 3, 3]


def test_a_limit_is_kept_and_one_means_none(make: Make) -> None:
    assert sizes(make("a b c d e", [0]), workers=1, most=2) == [1, 2, 2, 1]
    assert sizes(make("a b c", [0]), workers=1, most=1) == [1, 1, 1, 1]


def test_nothing_to_do_is_no_work() -> None:
    assert cohorts.gathered([], workers=2) == []


@pytest.mark.usefixtures("only_installed_plugins")
def test_a_gpu_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert workers.visible_gpus() == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-1ab,7")
    assert workers.visible_gpus() == ["4", "GPU-1ab", "7"]
    assert workers.default_workers(threads=1, on_gpu=True, gpus=3) == 3
    assert workers.default_workers(threads=1, on_gpu=True, gpus=0) == 1


def test_gpus_are_dealt_out_in_turn_and_a_worker_sees_no_other() -> None:
    assert dealt(["3", "GPU-7"], 5) == ["3", "GPU-7", "3", "GPU-7", "3"]
    assert dealt([], 2) == []
    pool = Pool(lambda event: None, workers=1, threads=1, plugins=[], gpus=["GPU-7", "3"])
    try:
        assert pool.pool.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "GPU-7"
    finally:
        pool.close(stop=True)
