"""What a cohort saves: eight methods trained together against the same eight one after another, in CPU time.

KD, DKD, DIST, AT, SP and RKD learn from one frozen teacher; label smoothing and the student alone do not. With T for the
teacher's forward on a batch and S for all that a method does besides, training them apart takes 6 T + sum S, and together
T + sum S at best. T is timed in the same rounds; S is what is left of a method's own time. Each round times both ways in a
random order; in the cohort, the first turn, which pays for the teacher, goes round. All losses must be equal bit for bit.

Run: `OMP_NUM_THREADS=1 python benchmarks/cohort.py [--rounds 10] [--steps 4]`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import Loop
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.results import environment
from kdzoo.engine.run import Run
from kdzoo.engine.shared_feed import SharedFeed
from kdzoo.engine.source import Source
from kdzoo.engine.stages import StagePlan
from kdzoo.recipe.load import load

TEACHER, STUDENT, BATCH = "resnet110", "resnet8", 64
WITH_TEACHER: dict[str, dict[str, Any]] = {
    "kd": {"hard_label": {}, "kd": {}},
    "dkd": {"hard_label": {}, "dkd": {}},
    "dist": {"hard_label": {}, "dist": {}},
    "at": {"hard_label": {}, "at": {}},
    "sp": {"hard_label": {}, "sp": {}},
    "rkd": {"hard_label": {}, "rkd": {}},
}
WITHOUT: dict[str, dict[str, Any]] = {"ls": {"hard_label": {"targets": ["smooth"]}}, "alone": {"hard_label": {}}}
ROWS = {**WITH_TEACHER, **WITHOUT}


class Losses(Observer):
    """Every loss of every step, to compare."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def stepped(self, run: Run, position: Position, trained: Any) -> None:
        self.values += [float(value) for micro in trained for value in micro.values.values()]


class Trained:
    """One run, advanced window by window."""

    def __init__(self, name: str, epochs: int, data: dict[str, Any], source: Source | None, feed: SharedFeed | None) -> None:
        recipe = {
            "task": {"data": data, "validation": 0.0, "crop": 4, "flip": True},
            "student": STUDENT,
            **({"teacher": {"use": "frozen", "model": TEACHER}} if name in WITH_TEACHER else {}),
            "methods": ROWS[name],
            "optimizers": {"student": {"use": "sgd", "lr": 0.01}},
            "train": {"epochs": epochs, "batch_size": BATCH},
            "runtime": {"device": "cpu"},
        }
        self.name = name
        self.run = assemble(load(recipe).settings, source=source)
        self.losses = Losses()
        self.feed = feed or Feed(self.run)
        self.loop = Loop(self.run, StagePlan.of(self.run, epochs, {}), self.feed, self.losses, Position())


def cpu_time(act: Callable[[], object]) -> float:
    before = time.process_time()
    act()
    return time.process_time() - before


def images(steps: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (steps * BATCH, 3, 32, 32), dtype=torch.uint8, generator=draw)
    labels = torch.arange(steps * BATCH) % 100
    return {"use": "tensors", "train_images": pixels, "train_labels": labels, "test_images": pixels, "test_labels": labels}


def together(data: dict[str, Any], epochs: int, names: Sequence[str] = tuple(ROWS)) -> list[Trained]:
    first = Trained(names[0], epochs, data, None, None)
    source = first.run.source
    source.runs = len(names)
    first.feed = first.loop.feed = feed = SharedFeed(first.run)
    return [first, *(Trained(name, epochs, data, source, feed) for name in names[1:])]


def in_lockstep(joined: Sequence[Trained], steps: int, turn: int) -> Iterator[tuple[int, Trained, float]]:
    """Advance all by some steps, the first place going round; the place, who had it, and its CPU time."""
    for step in range(steps):
        shift = (turn * steps + step) % len(joined)
        for place, trained in enumerate([*joined[shift:], *joined[:shift]]):
            yield place, trained, cpu_time(trained.loop.advance)


def teacher_forward(run: Run, feed: Feed, steps: int) -> None:
    for (batch,) in feed.windows(0, start=0, size=1):
        if batch.number < steps:
            with torch.no_grad():
                run.forward("teacher", batch.micros[0])


Act = tuple[list[float], Callable[[int], object]]


def time_rounds(rounds: int, acts: Sequence[Act], *, others: Sequence[list[float]]) -> None:
    """Time what is done in each round, in a random order. What the first round, which warms up, left in any list is forgotten.

    Args: acts: the list that gets the times, and what is done in a round, by its number. others: lists that it fills itself.
    """
    for number in range(rounds + 1):
        for kept, act in random.sample(acts, len(acts)):
            kept.append(cpu_time(partial(act, number)))
        if number == 0:
            for kept in (*(kept for kept, _ in acts), *others):
                kept.clear()


def measure(rounds: int, steps: int) -> dict[str, Any]:
    data = images(steps)
    apart, joined = [Trained(name, rounds + 1, data, None, None) for name in ROWS], together(data, rounds + 1)
    own: dict[str, list[float]] = {name: [] for name in ROWS}
    turns: dict[str, list[float]] = {name: [] for name in ROWS}
    forwards, sums_apart, sums_together = [], [], []

    def alone() -> None:
        for trained in apart:
            own[trained.name].append(cpu_time(lambda t=trained: [t.loop.advance() for _ in range(steps)]) / steps)  # type: ignore[misc]

    def in_turn(turn: int) -> None:
        for place, trained, took in in_lockstep(joined, steps, turn):
            # Turns before anybody has asked the teacher, and the one that does, are not those of one method more.
            if place > 2:
                turns[trained.name].append(took)

    acts: list[Act] = [
        (sums_apart, lambda _: alone()),
        (sums_together, in_turn),
        (forwards, lambda _: teacher_forward(apart[0].run, apart[0].feed, steps)),
    ]
    time_rounds(rounds, acts, others=[*own.values(), *turns.values()])
    for one, other in zip(apart, joined, strict=True):
        if one.losses.values != other.losses.values:
            raise SystemExit(f"{one.name}: apart and together give different losses; the timing would mean nothing")
    t = statistics.median(forwards) / steps
    s = {name: statistics.median(values) - (t if name in WITH_TEACHER else 0.0) for name, values in own.items()}
    ratios = [a / b for a, b in zip(sums_apart, sums_together, strict=True)]
    best = (len(WITH_TEACHER) * t + sum(s.values())) / (t + sum(s.values()))
    marginal = {name: round(statistics.median(values) / s[name], 3) for name, values in turns.items()}
    return {
        "T, seconds": round(t, 4),
        "S, seconds": {name: round(value, 4) for name, value in s.items()},
        "T / S": round(t / statistics.mean(s.values()), 2),
        "apart / together": {"median": round(statistics.median(ratios), 3), "all": [round(r, 3) for r in ratios]},
        "at best": round(best, 3),
        "share of the best": round(statistics.median(ratios) / best, 3),
        "one more method / its own step": marginal,
        "one more method, median": round(statistics.median(marginal.values()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(given.rounds, given.steps)
    print(json.dumps({"rounds": given.rounds, "steps": given.steps, **found, **environment(torch.device("cpu"))}, indent=1))


if __name__ == "__main__":
    main()
