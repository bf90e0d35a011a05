"""Run a bench: plan, train what is missing, report. Safe to kill and to repeat; what is finished is not done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo import registry
from kdzoo.benchmark.execute.events import BenchStarted, Event, OnEvent, Said
from kdzoo.benchmark.execute.executor import on_this_machine
from kdzoo.benchmark.execute.failure import forget
from kdzoo.benchmark.execute.ray_cluster import RayCluster
from kdzoo.benchmark.execute.scheduler import carry_out_all, tell_end
from kdzoo.benchmark.execute.stopping import stopping
from kdzoo.benchmark.report.leaderboard import Leaderboard
from kdzoo.benchmark.report.page import write_report
from kdzoo.benchmark.report.records import read_records
from kdzoo.benchmark.report.samples import save_samples
from kdzoo.errors import Interrupted, RecipeError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from kdzoo.benchmark.plan.bench_plan import BenchPlan
    from kdzoo.given import Data, Setting

POOL, RAY = "pool", "ray"


def bench(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    force: bool = False,
    retry: bool = False,
    cohort: int | None = None,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    plugins: Sequence[str | Path] = (),
    student: Setting | nn.Module | None = None,
    teacher: Setting | nn.Module | None = None,
    data: Data | None = None,
    executor: str = POOL,
    address: str | None = None,
    on_event: OnEvent | None = None,
) -> Leaderboard:
    """Train every cell of a bench recipe that is not finished yet, and report on all.

    Args:
        recipe, overrides: as for a run; the recipe has a section `bench` (see `section.Section`).
        out: the folder that gets `<name of the bench>/` and `teachers/`; default `runtime.out`.
        workers: processes. With 1 all is done in this process; default: one a core or one a GPU. Always 1 where a row uses
            what only this process has: a plugin of `kdzoo.register`, modules or tensors of your own. A script that calls this
            with several workers needs `if __name__ == "__main__":`.
        force: train everything again, teachers included.
        retry: try again what failed before. Without it a failed cell stays as it is, unless the machine was at fault.
        cohort: the most runs that share one pass over the data and the teacher; default `bench.cohort`, 1 for none.
        methods: only these rows (and the baseline, and the student alone).
        seeds: instead of the recipe's.
        plugins: Python files whose plugins the rows use.
        student, teacher, data: of every row that names none of its own, as for `kdzoo.run`: what a recipe would say, or
            modules, tensors and data sets of your own. A teacher's module is used frozen, as it is: train it first.
        executor: 'pool' for processes on this machine, 'ray' for the machines of a Ray cluster, which all see `out`.
        address: of the Ray cluster; default: one on this machine.
        on_event: called, in this process, with what happens (see `events`).

    Returns:
        The leaderboard. Failed cells are in it, with their sentences; nothing is raised for them.

    Raises:
        RecipeError, CapabilityError, PluginError, MissingError: before anything is trained.
        Interrupted: after SIGINT or SIGTERM; finished cells are kept and runs in progress have written a checkpoint.
        RunFailed: a worker process died.
    """
    from kdzoo.benchmark.plan.bench_plan import make_plan  # torch comes with it
    from kdzoo.benchmark.plan.cohorts import gathered
    from kdzoo.engine.run_identity import forget_data
    from kdzoo.given import sections_of

    tell = _once(on_event or (lambda event: None))
    forget_data()
    for path in plugins:
        registry.load_file(path)
    _check(workers, executor, address, cohort)
    sections = sections_of(student=student, teacher=teacher, data=data)
    plan = make_plan(recipe, overrides, out=out, methods=methods, seeds=seeds, force=force, retry=retry, sections=sections)
    if plan.only_here:
        _keep_here(plan, executor, workers, tell)
    with plan.held(lambda sentence: tell(Said(sentence))):
        plan.save()
        todo = [job for job in plan.jobs if job.name not in plan.finished]
        cluster = _cluster(plan, address, tell) if executor == RAY and todo else None
        slots = cluster.slots if cluster else plan.workers(workers)
        work = gathered(todo, workers=slots, most=cohort or plan.grid.cohort)
        workers = min(slots, max(len(work), 1))
        cells, failed = len(plan.grid.cells), sum(outcome.error is not None for outcome in plan.finished.values())
        before = cells - sum(job.seed is not None for job in todo) - failed
        tell(BenchStarted(plan.folder, cells, before, workers, failed))
        if plan.others:
            tell(Said(_others(plan)))
        for job in plan.jobs:
            if job.name in plan.finished:
                tell_end(job, plan.finished[job.name], tell, again=True)
        for job in todo:
            forget(job.folder)
        with stopping() as stopped:
            place = cluster or on_this_machine(tell, stopped, workers=workers, threads=plan.threads, gpus=plan.gpus)
            try:
                carry_out_all(work, place, tell, stopped)
            finally:
                board = _report(plan, pictures=not stopped.is_set())
    if stopped.is_set():
        raise Interrupted("interrupted; finished cells are kept, and the same command goes on from here.")
    return board


def _check(workers: int | None, executor: str, address: str | None, cohort: int | None) -> None:
    """Refuse arguments that are out of range, or do not go together."""
    if workers is not None and workers < 1:
        raise RecipeError(f"workers must be at least 1, got {workers}; leave it out for one a core.")
    if executor not in (POOL, RAY):
        raise RecipeError(f"there is no executor {executor!r}; {did_you_mean(executor, (POOL, RAY))}")
    if executor == POOL and address is not None:
        raise RecipeError(f"address {address!r} is that of a Ray cluster; give executor 'ray' with it.")
    if executor == RAY and workers is not None:
        raise RecipeError("a Ray cluster has a worker for each GPU, or for its cores: leave workers out.")
    if cohort is not None and cohort < 1:
        raise RecipeError(f"cohort must be at least 1, got {cohort}; leave it out for as many as memory allows.")


def _keep_here(plan: BenchPlan, executor: str, workers: int | None, tell: OnEvent) -> None:
    """Refuse a cluster for what no other process has, and say that several processes that were asked for become one."""
    named = ", ".join(plan.only_here)
    if executor == RAY:
        raise RecipeError(
            f"{named}: only this process has it, so the cluster's machines lack it; put it into a file and give that by "
            "--plugin, or into a package that all machines have."
        )
    if workers is not None and workers > 1:
        tell(Said(f"{named}: only this process has it, so that all is done here, in place of {workers} processes."))


def _once(tell: OnEvent) -> OnEvent:
    """The listener, spared of what has been said before."""
    said: set[str] = set()

    def heard(event: Event) -> None:
        if isinstance(event, Said):
            if event.sentence in said:
                return
            said.add(event.sentence)
        tell(event)

    return heard


def _others(plan: BenchPlan) -> str:
    """What is said of results that stay in the folder, but not in the table."""
    one = len(plan.others) == 1
    return (
        f"{plan.folder / 'cells'} also holds {len(plan.others)} finished run{'' if one else 's'} of other settings, "
        f"{'which is' if one else 'which are'} kept but not in this table; the command with those settings finds "
        f"{'it' if one else 'them'} finished."
    )


def _report(plan: BenchPlan, *, pictures: bool) -> Leaderboard:
    records = read_records(plan.folder)
    if pictures and records.done:
        save_samples(records, {job.folder: job.recipe.settings for job in plan.jobs})
    return write_report(plan.folder)


def _cluster(plan: BenchPlan, address: str | None, tell: OnEvent) -> RayCluster:
    files = registry.loaded_files()
    return RayCluster(tell, address=address, folder=plan.folder, threads=plan.threads, gpu=plan.may_use_gpu, plugins=files)
