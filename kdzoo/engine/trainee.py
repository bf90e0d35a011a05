"""A trainee: a run and its folder, from the lock to the result, in steps.

`launch` carries out all steps of one run; a cohort takes those of several runs in turn. Everything here is a run's own:
learners, methods, optimizers, checkpoints, log, results. What it shares with others is its source.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kdzoo import registry
from kdzoo.engine.checkpoint import Checkpoints
from kdzoo.engine.checkpoint_timing import CheckpointTimer
from kdzoo.engine.cost_watch import CostWatch
from kdzoo.engine.distributed import ProcessGroup
from kdzoo.engine.feed import Feed
from kdzoo.engine.files import locked, replace_file, write_json, writing
from kdzoo.engine.loop import Loop
from kdzoo.engine.metrics_log import MetricsLog
from kdzoo.engine.observers import Observers
from kdzoo.engine.results import FORMAT, Result, conclude, environment, save_arrays, warn_of_weak_teachers
from kdzoo.engine.run import Run
from kdzoo.engine.selection import Selection, save_weights
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.stopwatch import Stopwatch
from kdzoo.engine.tracking import tracking
from kdzoo.recipe.load import Recipe, dump
from kdzoo.signals import Stop

Listener = Callable[[dict[str, Any]], None]
DEPLOYED = "student.safetensors"


class Place(NamedTuple):
    """Where a run stands in its data. Of two runs the one with the smaller place has more to do."""

    stage: int  # 0 is the main one, -1 the one before
    epoch: int
    batch: int


class Trainee:
    """One run to be trained in one folder.

    Args:
        assembled: makes the run, once the folder is held.
        listeners: called with every record of the log.
        stop: whether a signal asked to end.
    """

    def __init__(
        self,
        recipe: Recipe,
        identity: str,
        folder: Path,
        *,
        assembled: Callable[[], Run],
        force: bool = False,
        listeners: Sequence[Listener] = (),
        stop: Stop | None = None,
    ) -> None:
        self.recipe, self.identity, self.folder, self.assembled, self.force = recipe, identity, folder, assembled, force
        self.listeners, self.stop = listeners, stop or Stop()

    def steps(self, feed: Callable[[Run], Feed] = Feed) -> Generator[tuple[Run, Place], None, Result]:
        """Get ready, train window by window, conclude. Yields the run and its place when it is ready, and after each window.

        Args: feed: gives a run its batches.

        Raises: as `launch`, at the step that fails.
        """
        with writing(self.folder), _alone(self.folder):
            if self.force:
                _clear(self.folder)
            done = finished(self.folder, self.identity)
            if done is None:
                done = yield from self._trained(self.assembled(), feed)
            return done

    def _trained(self, run: Run, feed: Callable[[Run], Feed]) -> Generator[tuple[Run, Place], None, Result]:
        settings, folder, main = self.recipe.settings, self.folder, run.processes.is_main
        watch = Stopwatch(run.source)
        costs = CostWatch(run, clock=watch.seconds)
        own = settings["train"]
        plan = StagePlan.of(run, own["epochs"], run.schedules)
        with plan.entered(run, len(plan.stages) - 1):
            pass  # a schedule on nothing, or a teacher without an optimizer, is refused before anything is written
        folder.mkdir(parents=True, exist_ok=True)
        _forget_others(folder, self.identity)
        if main:
            replace_file(folder / "recipe.yaml", lambda path: path.write_text(dump(settings)))
            write_json(folder / "run.json", {"identity": self.identity, "environment": environment(run.device)})
        warn_of_weak_teachers(run)
        with tracking(settings if main else _untracked(settings), folder) as trackers:
            recorder = MetricsLog(
                folder / "metrics.jsonl" if main else None,
                settings["runtime"]["log_every"],
                [*self.listeners, *trackers],
                clock=watch.seconds,
            )
            selection = Selection(folder / "best.safetensors", recorder, every=own["evaluate_every"], patience=own["patience"])
            observers = Observers({"record": recorder, "costs": costs, "selection": selection})
            checkpoints = Checkpoints(folder / "checkpoints", settings["runtime"]["keep"])
            position, said = checkpoints.load(run, observers)
            for sentence in said:
                warnings.warn(sentence, stacklevel=2)
            keeper = CheckpointTimer(checkpoints, observers, settings["runtime"]["checkpoint_every"], self.stop)
            loop = Loop(run, plan, feed(run), Observers({**observers.observers, "keeper": keeper}), position)
            last = len(plan.stages) - 1
            with self.stop.listening():
                try:
                    going = True
                    while going:
                        with watch.paused():
                            yield run, Place(position.stage - last, position.epoch, position.batch)
                        going = loop.advance()
                finally:
                    loop.close()
            values, arrays = conclude(run, selection, folder)
            values |= {
                "format": FORMAT,
                "identity": self.identity,
                "name": settings["name"],
                "seed": settings["seed"],
                "reference": settings["reference"],
                "environment": environment(run.device),
                "protocol": registry.PROTOCOL,
                "seconds": round(costs.seconds, 2),
                "cost": {**costs.figures(), **values["cost"]},
            }
            if main:
                save_weights(run.deployed(), folder / DEPLOYED)
                save_arrays(folder / "predictions.npz", arrays)
                write_json(folder / "result.json", values)
                recorder.write({"event": "done", "test": values["test"]})
            run.processes.barrier()
        return Result(folder, self.identity, values)


def finished(folder: Path, identity: str) -> Result | None:
    """The result of a finished run with this identity, if the folder holds it."""
    try:
        values = json.loads((folder / "result.json").read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return Result(folder, identity, values) if values.get("identity") == identity else None


@contextmanager
def settings_of_torch(settings: Mapping[str, Any]) -> Iterator[None]:
    """Threads and determinism for the length of a run; what was there before comes back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(settings["runtime"]["threads"])
    torch.use_deterministic_algorithms(settings["train"]["deterministic"])
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep two commands out of one run folder; among torchrun's processes the first holds the lock for all."""
    processes = ProcessGroup(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with locked(folder) if processes.is_main else nullcontext():
        processes.barrier()
        yield


def _untracked(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "runtime": {**settings["runtime"], "trackers": []}}


def _forget_others(folder: Path, identity: str) -> None:
    """A folder that holds the start of a run with another identity is cleared: its checkpoints mean something else."""
    try:
        before = json.loads((folder / "run.json").read_text()).get("identity")
    except (FileNotFoundError, ValueError):
        return
    if before != identity:
        _clear(folder)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name == ".lock":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
