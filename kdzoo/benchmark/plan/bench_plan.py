"""What a bench is going to do, made before anything is done and written to `plan.json`, which the report starts from."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kdzoo import digests, registry
from kdzoo.benchmark.execute.failure import recorded
from kdzoo.benchmark.execute.job import Job, Outcome
from kdzoo.benchmark.execute.workers import default_workers, visible_gpus
from kdzoo.benchmark.plan.declarations import declared
from kdzoo.benchmark.plan.grid import REFERENCE_SEED, Cell, Grid, check_distinct, expand
from kdzoo.benchmark.plan.slug import slug
from kdzoo.benchmark.report.records import DECLARED, FORMAT, PLAN
from kdzoo.benchmark.tune.found import shown
from kdzoo.engine.assemble import device_of
from kdzoo.engine.files import clear_leftovers, locked, write_json, writing
from kdzoo.engine.launch import finished
from kdzoo.engine.names_check import STUDENT
from kdzoo.engine.run_identity import identify
from kdzoo.engine.teacher_recipe import TeacherRecipe, in_training_order, nested
from kdzoo.recipe.load import Recipe, objects_in
from kdzoo.recipe.paths import leaves, within
from kdzoo.recipe.used import plugins_of
from kdzoo.recipe.values import holds_object
from kdzoo.registry.entries import IN_PROCESS


@dataclass(frozen=True)
class BenchPlan:
    """A bench's folder and jobs, teachers first.

    Attributes:
        identities: of every job, by its name; finished: what ended before and is not done again, by name.
    """

    grid: Grid
    folder: Path
    jobs: Sequence[Job]
    identities: Mapping[str, str]
    finished: Mapping[str, Outcome]

    @property
    def threads(self) -> int:
        """Threads that the hungriest run asks for."""
        return max(int(job.recipe.settings["runtime"]["threads"]) for job in self.jobs)

    @property
    def on_gpu(self) -> bool:
        return any(device_of(job.recipe.settings["runtime"]["device"]).type == "cuda" for job in self.jobs)

    @property
    def may_use_gpu(self) -> bool:
        """Whether a run would take a GPU where there is one, be it on another machine."""
        return any(str(job.recipe.settings["runtime"]["device"]).startswith(("auto", "cuda")) for job in self.jobs)

    @cached_property
    def only_here(self) -> list[str]:
        """What the runs use and only this process has: plugins that were registered in it, and settings that are objects."""
        recipes = [job.recipe.settings for job in self.jobs]
        used = {entry.name for settings in recipes for entry in plugins_of(settings) if entry.distribution == IN_PROCESS}
        return sorted(used.union(*map(objects_in, recipes)))

    def workers(self, wanted: int | None) -> int:
        """Processes on this machine: so many, by default one a core or a GPU; one where another would lack something."""
        if self.only_here:
            return 1
        return wanted or default_workers(threads=self.threads, on_gpu=self.on_gpu, gpus=len(self.gpus))

    @property
    def gpus(self) -> list[str]:
        """The GPUs to deal out to workers; none where a recipe names its own, or a run goes to the CPU."""
        devices = {str(job.recipe.settings["runtime"]["device"]) for job in self.jobs}
        return visible_gpus() if devices <= {"auto", "cuda"} and self.on_gpu else []

    @contextmanager
    def held(self, tell: Callable[[str], object]) -> Iterator[None]:
        """Keep other commands out of the folder; `tell` hears whom this one waits for."""
        with writing(self.folder), locked(self.folder, tell):
            clear_leftovers(self.folder)
            yield

    @property
    def others(self) -> list[Path]:
        """Run folders in this bench's that it does not use: of other settings, rows, seeds or versions of a plugin."""
        own = {job.folder for job in self.jobs}
        return sorted({result.parent for result in self.folder.glob("cells/*/*/result.json")} - own)

    def save(self) -> None:
        """Write it; what was declared in this folder stays so."""
        plan = self.described()
        write_json(self.folder / PLAN, {**plan, DECLARED: declared(self.folder, plan, self.grid.declared)})

    def _row(self, cell: Cell) -> dict[str, Any]:
        settings, tuned = cell.recipe.settings, shown(self.grid.tuned.get(cell.label))
        budget = _to_be_equal(settings, but=(tuned or {}).get("values", {}))
        if self.grid.tuned:
            budget["trials of tuning"] = tuned["trials"] if tuned else 0
        return {
            "row": cell.row,
            "identity": self._identity_at_any_seed(cell.row),
            "label": cell.label,
            "point": dict(cell.point),
            "published": cell.published,
            "unpackaged": unpackaged_plugins(settings),
            "budget": budget,
            "tuned": tuned,
        }

    def _identity_at_any_seed(self, row: str) -> str:
        known = self.identities.get(f"{row}, seed {REFERENCE_SEED}")
        return known or identify(self.grid.references[row].settings)

    def described(self) -> dict[str, Any]:
        """The plan as plain data."""
        grid = self.grid
        cells = {job.name: job for job in self.jobs if job.seed is not None}
        first = {cell.row: cell for cell in reversed(grid.cells)}
        return {
            "format": FORMAT,
            "name": grid.name,
            "description": grid.description,
            "identity": digests.of_text(" ".join(sorted(self.identities.values())))[: digests.SHORT],
            "command": grid.command,
            "recipe": grid.text,
            "baseline": grid.baseline,
            "alone": grid.alone,
            "also": list(grid.also),
            "resolve": grid.resolve,
            "without": list(grid.without),
            "varied": _varied(grid.cells),
            "notes": list(grid.notes),
            "rows": [self._row(cell) for cell in reversed(first.values())],
            "cells": [
                {"row": job.row, "seed": job.seed, "identity": self.identities[name], "folder": _inside(job, self.folder)}
                for name, job in cells.items()
            ],
            "teachers": [
                {"name": job.row, "identity": self.identities[job.name], "folder": _inside(job, self.folder)}
                for job in self.jobs
                if job.seed is None
            ],
        }


def make_plan(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str],
    *,
    out: str | Path | None = None,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    force: bool = False,
    retry: bool = False,
    values: Mapping[str, Mapping[str, Any]] | None = None,
    inside: str = "",
    sections: Mapping[str, Any] | None = None,
) -> BenchPlan:
    """Load and check all cells, and find out which are done, or failed before and are not to be tried again (`retry`).

    Args: values, sections: see `expand`. inside: the folder within the bench's.

    Raises what `expand` raises, RecipeError for two cells that are the same run, and MissingError for absent data.
    """
    grid = expand(recipe, overrides, methods=methods, seeds=seeds, values=values, sections=sections)
    root = Path(out) if out is not None else Path(grid.cells[0].recipe.settings["runtime"]["out"])
    folder = root / slug(grid.name) / inside
    teachers: dict[str, Job] = {}
    identities: dict[str, str] = {}
    cells = []
    for cell in grid.cells:
        own = _placed(cell.recipe, root)
        after = _teachers(own.settings, teachers, identities, force=force)
        name, identity = cell.name, identify(own.settings)
        place = folder / f"{cell.folder}-{identity}"  # results of other settings stay beside it
        cells.append(Job(name, cell.row, cell.seed, own, place, after, force, identity, grid.name))
        identities[name] = identity
    if values is None:
        check_distinct(((job.name, job.identity) for job in cells), by="identity")
    jobs = [*teachers.values(), *cells]
    ended = {} if force else {job.name: _ended(job, retry=retry) for job in jobs}
    return BenchPlan(grid, folder, jobs, identities, {name: found for name, found in ended.items() if found is not None})


def _ended(job: Job, *, retry: bool) -> Outcome | None:
    """How a job ended before, if it is not to be done again."""
    result = finished(job.folder, job.identity)
    if result is not None:
        return Outcome(result.values["metric"], result.metric)
    failure = None if retry else recorded(job.folder, job.identity)
    return None if failure is None else Outcome(error=failure.sentence, last=failure.last)


def _to_be_equal(settings: Mapping[str, Any], *, but: Container[str]) -> dict[str, Any]:
    """Path -> value of what the rows of a fair comparison share: all but methods, teachers and what was tuned for a row."""
    shared = {key: settings[key] for key in ("student", "train", "task")} | {
        "optimizers": {STUDENT: settings["optimizers"].get(STUDENT)},
        "schedules": {path: own for path, own in settings["schedules"].items() if within(path, f"optimizers.{STUDENT}")},
    }
    return {path: _named(value) for path, value in leaves(shared) if path not in but}


def _named(value: Any) -> Any:
    """A setting as it can be written down: an object that was given in Python by its type."""
    return type(value).__name__ if holds_object(value) else value


def _varied(cells: Sequence[Cell]) -> list[str]:
    """The settings that differ from seed to seed, besides the seed."""
    leaf_by_row: dict[str, dict[str, Any]] = {}
    found: dict[str, None] = {}
    for cell in cells:
        own = dict(leaves(cell.recipe.settings))
        first = leaf_by_row.setdefault(cell.row, own)
        found |= {path: None for path, value in own.items() if path != "seed" and not _same(first.get(path), value)}
    return list(found)


def _same(a: Any, b: Any) -> bool:
    """Whether two settings are equal; objects that were given in Python are not compared, but for being one."""
    return a is b or (not (holds_object(a) or holds_object(b)) and bool(a == b))


def _placed(recipe: Recipe, root: Path) -> Recipe:
    return replace(recipe, settings={**recipe.settings, "runtime": {**recipe.settings["runtime"], "out": str(root)}})


def _teachers(settings: Mapping[str, Any], jobs: dict[str, Job], identities: dict[str, str], *, force: bool) -> frozenset[str]:
    """The names of the jobs that train these settings' teachers, which are added to `jobs`, their own teachers first."""
    for found in in_training_order(settings, skip=lambda teacher: _job_name(teacher) in jobs):
        name, after = _job_name(found), frozenset(map(_job_name, nested(found.settings)))
        jobs[name] = Job(name, found.name, None, found.recipe, found.folder, after, force, found.identity)
        identities[name] = found.identity
    return frozenset(map(_job_name, nested(settings)))


def _job_name(teacher: TeacherRecipe) -> str:
    return f"teacher {teacher.folder.name}"


def _inside(job: Job, folder: Path) -> str:
    return Path(os.path.relpath(job.folder, folder)).as_posix()


def unpackaged_plugins(settings: Mapping[str, Any]) -> list[str]:
    """The plugins of this recipe that are in no installed package, so that others cannot simply repeat the result."""
    return sorted({entry.name for entry in plugins_of(settings) if registry.is_local(entry)})
