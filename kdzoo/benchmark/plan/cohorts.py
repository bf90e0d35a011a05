"""Which runs of a bench train together, so that all workers have something to do and little is done twice."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence

from kdzoo.benchmark.execute.job import Job, Work
from kdzoo.engine.cohort import Ground, ground

COMMON = 1.0
"""What the data and the teacher cost, in a student's own steps. A rule of thumb; it only decides how groups are cut."""


def gathered(jobs: Sequence[Job], *, workers: int, most: int | None = None) -> list[Work]:
    """Jobs as pieces of work, teachers first, then the largest cohorts.

    Args:
        workers: how many pieces are carried out at a time; they share the memory.
        most: the most runs in a cohort; None for no limit, 1 for no cohorts.
    """
    teachers = [(job,) for job in jobs if job.seed is None]
    cells = [job for job in jobs if job.seed is not None]
    groups = [[job] for job in cells] if most == 1 else _alike(cells)
    largest = min(most or len(cells), max(map(len, groups), default=1))
    cuts = [[part for group in groups for part in _parts(group, size)] for size in range(largest, 0, -1)]
    best = min(cuts, key=lambda cut: (_length([len(part) for part in cut], workers), len(cut)), default=[])
    ordered = sorted(best, key=len, reverse=True)
    return [Work(tuple(jobs), 1.0 / workers) for jobs in (*teachers, *ordered)]


def _alike(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs whose runs can share a source, in the jobs' order."""
    groups: list[tuple[list[Job], list[Ground]]] = []
    for job in jobs:
        own = ground(job.recipe.settings)
        found = next((group for group in groups if own is not None and group[1] and own.meets(group[1])), None)
        if found is None:
            groups.append(([job], [] if own is None else [own]))
        else:
            found[0].append(job)
            found[1].extend([] if own is None else [own])
    return [group for group, _ in groups]


def _parts(group: Sequence[Job], size: int) -> list[list[Job]]:
    """A group in as few parts of at most `size` as there can be, about equally large."""
    count = -(-len(group) // size)
    bounds = [round(number * len(group) / count) for number in range(count + 1)]
    return [list(group[start:stop]) for start, stop in itertools.pairwise(bounds)]


def _length(sizes: Sequence[int], workers: int) -> float:
    """How long it takes if each worker, once free, takes the largest cohort left."""
    busy = [0.0] * workers
    for size in sorted(sizes, reverse=True):
        heapq.heapreplace(busy, busy[0] + COMMON + size)
    return max(busy)
