"""A cohort: runs that see the same samples, trained in lockstep over one source.

    while runs are left:
        the runs that are furthest behind train on one window, one after the other

So the data are read and augmented once, and a frozen teacher answers (with the taps of all runs) and is evaluated once for all.
Everything else is each run's own, and so are its numbers: nothing that a run computes depends on who trains beside it. A run
that fails leaves, one that was interrupted earlier waits until the others have come to its place, one with stages of its own
before the main one trains those first.
"""

from __future__ import annotations

import functools
import json
import os
import traceback
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kdzoo import digests, signals
from kdzoo.engine.assemble import assemble
from kdzoo.engine.components import make
from kdzoo.engine.feed import Feed, preparers
from kdzoo.engine.launch import trained
from kdzoo.engine.memory import free, kept
from kdzoo.engine.results import Result
from kdzoo.engine.run import Run
from kdzoo.engine.run_identity import identify
from kdzoo.engine.settings_of_torch import settings_of_torch
from kdzoo.engine.shared_feed import SharedFeed
from kdzoo.engine.source import Source
from kdzoo.engine.tracking import Called
from kdzoo.engine.trainee import Listener, Place, Tell, Trainee
from kdzoo.errors import Interrupted
from kdzoo.recipe.hashing import content
from kdzoo.recipe.load import Recipe
from kdzoo.signals import Stop

TRAIN = ("batch_size", "accumulate", "precision", "channels_last", "compile", "deterministic")
RUNTIME = ("device", "threads")
SPARED = 0.5
"""The share of the free memory that is left to forwards, which come one run at a time."""


@dataclass(frozen=True)
class Ground:
    """What a run needs to have in common with another to share a source with it.

    Attributes:
        key: of data, seed, views, splits, batches and number format.
        teachers: name -> what a frozen teacher is, or '' for a teacher that is the run's own.
    """

    key: str
    teachers: Mapping[str, str]

    def meets(self, others: Iterable[Ground]) -> bool:
        """Whether the run can join them all: no teacher's name may stand for two."""
        return all(
            self.key == other.key and all(other.teachers.get(name, own) == own for name, own in self.teachers.items())
            for other in others
        )


def ground(settings: Mapping[str, Any]) -> Ground | None:
    """What a recipe stands on; None if its run needs a source of its own.

    That is one whose methods prepare batches (which they may do by their state), train a teacher, or look at several batches at
    once, and one of several processes.
    """
    made = make(settings)
    trains = any(teacher.trains for teacher in made.teachers.values())
    if preparers(made.methods) or trains or (made.needs.window or 1) > 1 or os.environ.get("WORLD_SIZE", "1") != "1":
        return None
    common = {
        "seed": settings["seed"],
        "task": settings["task"],
        "data": settings["paths"].get("data"),
        "train": {name: settings["train"][name] for name in TRAIN},
        "runtime": {name: settings["runtime"][name] for name in RUNTIME},
        "views": sorted(made.needs.views),
        "splits": dict(made.needs.splits),
    }
    teachers = {name: _digest(settings["teachers"][name]) if teacher.frozen else "" for name, teacher in made.teachers.items()}
    return Ground(_digest(common), teachers)


def _digest(tree: Any) -> str:
    return digests.of_text(json.dumps(tree, sort_keys=True, default=content))


@dataclass
class Member:
    """A run of a cohort: its recipe, its folder, who hears of it; and, later, how it ended."""

    recipe: Recipe
    folder: Path
    listeners: Sequence[Listener] = ()
    force: bool = False
    tell: Tell | None = None
    called: Called | None = None
    ended: Result | Exception | None = None
    steps: Generator[tuple[Run, Place], None, Result] | None = None
    place: Place = field(default_factory=lambda: Place(0, 0, 0))
    kept: int = 0
    again: bool = False
    identity: str = ""


class Cohort:
    """Trains runs together.

    Args:
        members: whose recipes stand on a common ground.
        share: of the machine's free memory that is for this cohort. Where the runs would not fit at the same time, some wait
            until others are done.
        on_wave: called with those that train together, before they do.
    """

    def __init__(
        self, members: Sequence[Member], *, share: float = 1.0, on_wave: Callable[[Sequence[Member]], object] | None = None
    ) -> None:
        self.members, self.share, self.on_wave = members, share, on_wave or (lambda wave: None)
        self.stop = Stop()
        self.source: Source | None = None
        self.feed: SharedFeed | None = None

    def train(self) -> None:
        """Train all of them to their ends, which they tell by `ended`: a result, or the exception that ended the run.

        After SIGINT or SIGTERM each run in progress writes a checkpoint, and all that are not done end with Interrupted.
        """
        # Whoever holds several folders takes them in one order, or two such would wait for each other.
        waiting = sorted(self.members, key=lambda member: str(member.folder))
        try:
            with settings_of_torch(self.members[0].recipe.settings), self.stop.listening():
                while waiting and self.stop.signal is None:
                    waiting = self._wave(waiting)
        finally:
            for member in self.members:
                if member.steps is not None:
                    member.steps.close()
        for member in waiting:
            member.ended = Interrupted("interrupted before it began; the same command goes on from here.")
        if self.stop.signal is not None and not any(isinstance(member.ended, Interrupted) for member in self.members):
            signals.raise_again(self.stop.signal)  # it came when all training was over, so nobody has minded it

    def _wave(self, waiting: Sequence[Member]) -> list[Member]:
        """Train as many of those that wait as fit into memory; those that wait still."""
        wave, rest = self._admitted(waiting)
        if self.source is not None:
            self.source.runs = len(wave)
        self.on_wave(wave)
        crowded = len(wave) > 1
        while wave:
            least = min(member.place for member in wave)
            for member in [member for member in wave if member.place == least]:
                if not self._advance(member):
                    wave.remove(member)
                    if crowded and not member.again and lacked_memory(member.ended):
                        member.again, member.ended = True, None
                        rest.append(member)
        return rest

    def _admitted(self, waiting: Sequence[Member]) -> tuple[list[Member], list[Member]]:
        """Begin runs while there is memory for a further one of the largest kind: those that began, and the others."""
        wave: list[Member] = []
        budget: float | None = None
        for number, member in enumerate(waiting):
            used, largest = sum(m.kept for m in wave), max((m.kept for m in wave), default=0)
            alone = member.again or any(m.again for m in wave)
            if wave and (alone or (budget is not None and used + largest > budget)):
                return wave, list(waiting[number:])
            if self._advance(member):
                wave.append(member)
                room = free(self.source.device) if budget is None and self.source is not None else None
                budget = budget if room is None else SPARED * self.share * room + member.kept
        return wave, []

    def _advance(self, member: Member) -> bool:
        """One step of a run; False if it has ended."""
        try:
            if member.steps is None:
                member.steps = self._trainee(member).steps(self._fed)
            run, member.place = next(member.steps)
        except StopIteration as end:
            member.ended = end.value
        except Exception as error:  # whatever it is, it is this run's alone
            traceback.clear_frames(error.__traceback__)  # or what the run held would stay in memory
            member.ended = error
        else:
            member.kept = member.kept or kept(run)
            return True
        member.steps = None
        return False

    def _trainee(self, member: Member) -> Trainee:
        recipe, train_recipe = member.recipe, functools.partial(trained, tell=member.tell)

        def assembled() -> Run:
            run = assemble(recipe.settings, recipe.provenance, train_recipe=train_recipe, source=self.source)
            self.source = run.source
            self.source.runs = len(self.members)
            return run

        member.identity = member.identity or identify(recipe.settings)  # as it was before anything of it ran
        return Trainee(
            recipe,
            member.identity,
            member.folder,
            assembled=assembled,
            force=member.force and not member.again,
            listeners=member.listeners,
            stop=self.stop,
            tell=member.tell,
            called=member.called,
        )

    def _fed(self, run: Run) -> Feed:
        if self.feed is None or self.feed.source is not run.source:
            self.feed = SharedFeed(run)
        return self.feed


def lacked_memory(error: object) -> bool:
    """Whether a run may well end better where it is alone."""
    while isinstance(error, BaseException):
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        error = error.__cause__
    return False
