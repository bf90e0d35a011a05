"""A trainee: a run and its folder, from the lock to the result, in steps.

`launch` carries out all steps of one run; a cohort takes those of several runs in turn. Everything here is a run's own:
learners, methods, optimizers, checkpoints, log, results. What it shares with others is its source.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kdzoo import registry
from kdzoo.engine import provenance
from kdzoo.engine.checkpoint import Checkpoints
from kdzoo.engine.checkpoint_timing import CheckpointTimer
from kdzoo.engine.cost_watch import CostWatch
from kdzoo.engine.distributed import ProcessGroup
from kdzoo.engine.feed import Feed
from kdzoo.engine.files import LOCK, clear_leftovers, locked, read_json, remove_folder, write_json, writing
from kdzoo.engine.loop import Loop
from kdzoo.engine.metrics_log import MetricsLog
from kdzoo.engine.observers import Observers
from kdzoo.engine.results import FORMAT, Result, conclude, environment, save_arrays, warn_of_weak_teachers
from kdzoo.engine.run import Run
from kdzoo.engine.selection import Selection, save_weights
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.stopwatch import Stopwatch
from kdzoo.engine.tracking import DONE, Called, tracking
from kdzoo.errors import RecipeError
from kdzoo.recipe.identity import unrepeatable
from kdzoo.recipe.load import Recipe
from kdzoo.signals import Stop

Listener = Callable[[dict[str, Any]], None]
Tell = Callable[[str], object]
DEPLOYED, RESULT, STARTED, CHECKPOINTS = "student.safetensors", "result.json", provenance.FILE, "checkpoints"


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
        tell: called with sentences about the folder, and about what is done with the data.
        called: what trackers call it; default its name.
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
        tell: Tell | None = None,
        called: Called | None = None,
    ) -> None:
        self.tell = tell or (lambda sentence: None)
        self.recipe, self.identity, self.folder, self.assembled, self.force = recipe, identity, folder, assembled, force
        self.listeners, self.stop, self.called = listeners, stop or Stop(), called

    def steps(self, feed: Callable[[Run], Feed] = Feed) -> Generator[tuple[Run, Place], None, Result]:
        """Get ready, train window by window, conclude. Yields the run and its place when it is ready, and after each window.

        Args: feed: gives a run its batches.

        Raises: as `launch`, at the step that fails.
        """
        with writing(self.folder), _alone(self.folder, self.tell) as processes:
            if self.force and processes.is_main:
                _clear(self.folder)
            processes.barrier()
            done = finished(self.folder, self.identity)
            if done is not None:
                self.tell(f"This run is finished already: {self.folder}. Train it again by --force.")
                return done
            _check_owner(self.folder, self.identity)
            self._say_what_was_found()
            run = self.assembled()
            for sentence in (*run.task.remarks(), *(text for teacher in run.teachers.values() for text in teacher.remarks())):
                self.tell(sentence)
            return (yield from self._trained(run, feed))

    def _say_what_was_found(self) -> None:
        unknown = unrepeatable(self.recipe.settings)
        if unknown:
            self.tell(
                f"Note: no later process will find this run again, it would train anew: {'; '.join(unknown)}. "
                "Keep your code in a file to have it found."
            )
        if any((self.folder / CHECKPOINTS).glob("[0-9]*")):
            self.tell(f"Going on from the last checkpoint in {self.folder}. Start anew by --force.")

    def _trained(self, run: Run, feed: Callable[[Run], Feed]) -> Generator[tuple[Run, Place], None, Result]:
        settings, folder, main = self.recipe.settings, self.folder, run.processes.is_main
        watch = Stopwatch(run.source)
        costs = CostWatch(run, clock=watch.seconds)
        own = settings["train"]
        plan = StagePlan.of(run, own["epochs"], run.schedules)
        with plan.entered(run, len(plan.stages) - 1):
            pass  # a schedule on nothing, or a teacher without an optimizer, is refused before anything is written
        folder.mkdir(parents=True, exist_ok=True)
        if main:
            provenance.keep(run, self.identity, folder)
        warn_of_weak_teachers(run)
        with tracking(settings if main else _untracked(settings), folder, self.called) as trackers:
            recorder = MetricsLog(
                folder / "metrics.jsonl" if main else None,
                settings["runtime"]["log_every"],
                self.listeners,
                trackers=trackers,
                clock=watch.seconds,
            )
            selection = Selection(folder / "best.safetensors", recorder, every=own["evaluate_every"], patience=own["patience"])
            observers = Observers({"record": recorder, "costs": costs, "selection": selection})
            keep = settings["runtime"]["keep"]
            checkpoints = Checkpoints(folder / CHECKPOINTS, keep=keep, identity=self.identity, run=run)
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
                recorder.write({"event": DONE, "test": values["test"]})
        if main:  # last: once it is there, nothing more is done for this run
            write_json(folder / RESULT, values)
        run.processes.barrier()
        return Result(folder, self.identity, values)


def finished(folder: Path, identity: str) -> Result | None:
    """The result of a finished run with this identity, if the folder holds it."""
    values = read_json(folder / RESULT)
    return Result(folder, identity, values) if values is not None and values.get("identity") == identity else None


@contextmanager
def _alone(folder: Path, tell: Tell) -> Iterator[ProcessGroup]:
    """Keep two commands out of one run folder; among torchrun's processes the first holds the lock for all."""
    processes = ProcessGroup(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with locked(folder, tell) if processes.is_main else nullcontext():
        for place in (folder, folder / CHECKPOINTS) if processes.is_main else ():
            clear_leftovers(place)
        processes.barrier()
        yield processes


def _untracked(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "runtime": {**settings["runtime"], "trackers": []}}


def _check_owner(folder: Path, identity: str) -> None:
    """Refuse a folder that holds another run, finished or begun: it stays until somebody says that it can go."""
    for name in (RESULT, STARTED):
        found = (read_json(folder / name) or {}).get("identity", identity)
        if found != identity:
            raise RecipeError(
                f"{folder} holds a run of other settings (its identity is {found}, this one's is {identity}), which is kept: "
                "name another folder, or remove what is there by --force (force=True)."
            )


def _clear(folder: Path) -> None:
    """Empty a run folder in such an order that it means the same to the next command wherever this is cut short.

    First what says that the run is finished; then checkpoints, before the log and the weights that belong to them; last what
    says whose checkpoints they are. The recipe and the plugin files stay until others take their place, for the run may be made
    from them.
    """
    order = {RESULT: 0, CHECKPOINTS: 1, STARTED: 3}
    for entry in sorted(folder.iterdir(), key=lambda entry: order.get(entry.name, 2)):
        if entry.name in (LOCK, provenance.RECIPE, provenance.PLUGINS):
            continue
        remove_folder(entry) if entry.is_dir() else entry.unlink()
