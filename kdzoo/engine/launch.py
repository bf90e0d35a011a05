"""From resolved settings to a finished run folder: identity, skip or resume, train, conclude.

A run folder holds `recipe.yaml` (resolved), `metrics.jsonl`, `checkpoints/`, `best.safetensors`, `student.safetensors` (what is
deployed), `predictions.npz`, and `result.json`, which is written last and marks the run as finished.
"""

from __future__ import annotations

import copy
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdzoo.engine.assemble import assemble
from kdzoo.engine.checkpoint import Checkpoints
from kdzoo.engine.checkpoint_timing import CheckpointTimer
from kdzoo.engine.components import method_of
from kdzoo.engine.distributed import ProcessGroup
from kdzoo.engine.feed import Feed
from kdzoo.engine.files import locked, read_json, replace_file, write_json, writing
from kdzoo.engine.loop import train
from kdzoo.engine.metrics_log import MetricsLog
from kdzoo.engine.names_check import STUDENT
from kdzoo.engine.observers import Observers
from kdzoo.engine.results import FORMAT, Result, conclude, environment, save_arrays, warn_of_weak_teachers
from kdzoo.engine.run import Run
from kdzoo.engine.run_identity import identify
from kdzoo.engine.selection import Selection, save_weights
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.teacher_recipe import TeacherRecipe
from kdzoo.engine.tracking import tracking
from kdzoo.errors import MissingError, RecipeError
from kdzoo.protocol.task import Task
from kdzoo.recipe.build import build
from kdzoo.recipe.load import Recipe, dump
from kdzoo.weights import load_weights

Listener = Callable[[dict[str, Any]], None]
DEPLOYED = "student.safetensors"


def launch(recipe: Recipe, *, folder: Path | None = None, force: bool = False, listeners: Sequence[Listener] = ()) -> Result:
    """Train a recipe to its end, or find that it is done.

    Args:
        folder: the run folder; default `<runtime.out>/<name>/<identity>`.
        force: forget what is there and train again.
        listeners: called with every record of the log (progress bars).

    Raises:
        RecipeError, CapabilityError, MissingError: before anything is written.
        RunFailed: a loss became NaN, the disk filled up. Interrupted: after SIGINT or SIGTERM.
    """
    settings = recipe.settings
    identity = identify(settings)
    folder = folder or Path(settings["runtime"]["out"]) / (settings["name"] or "run") / identity
    with writing(folder), _alone(folder):
        if force:
            _clear(folder)
        done = finished(folder, identity)
        if done is not None:
            return done
        with _settings_of_torch(settings):
            run = assemble(settings, recipe.provenance, train_recipe=trained)
            return _train(run, recipe, identity, folder, listeners)


def finished(folder: Path, identity: str) -> Result | None:
    """The result of a finished run with this identity, if the folder holds it."""
    values = read_json(folder / "result.json")
    return Result(folder, identity, values) if values is not None and values.get("identity") == identity else None


def trained(run: Run, settings: Mapping[str, Any], *, which: str) -> nn.Module:
    """The deployed module of a recipe that is a teacher here: trained once, stored under its identity, shared."""
    nested = TeacherRecipe.of(settings, run.settings)
    result = launch(nested.recipe, folder=nested.folder)
    module = deployable(nested.settings)
    file = result.folder / ("best.safetensors" if which == "best" else DEPLOYED)
    try:
        load_weights(module, file, "teacher")
    except (MissingError, RecipeError) as error:
        warnings.warn(f"{error} The teacher is trained again.", stacklevel=2)
        launch(nested.recipe, folder=nested.folder, force=True)
        load_weights(module, file, "teacher")
    return module


def deployable(settings: Mapping[str, Any]) -> nn.Module:
    """The module that a recipe deploys, untrained, without its methods where the student itself is deployed."""
    from kdzoo.protocol.method import overrides

    if any(overrides(method_of(label, spec), "deploy") for label, spec in settings["methods"].items()):
        return copy.deepcopy(assemble(settings, train_recipe=trained).deployed())
    return opened(settings).build(build("models", settings["student"], STUDENT))  # type: ignore[arg-type]


def opened(settings: Mapping[str, Any]) -> Task:
    """The recipe's task with its data, on the CPU, for whoever needs a model or data but no run."""
    from kdzoo.protocol.needs import Needs
    from kdzoo.random import Streams

    task: Task = build("tasks", settings["task"], "task")  # type: ignore[assignment]
    root = settings["paths"].get("data")
    device = torch.device("cpu")
    task.open(needs=Needs(), streams=Streams(settings["seed"]), device=device, root=Path(root) if root else None)
    return task


def _train(run: Run, recipe: Recipe, identity: str, folder: Path, listeners: Sequence[Listener]) -> Result:
    settings, started = recipe.settings, time.perf_counter()
    main, own = run.processes.is_main, settings["train"]
    plan = StagePlan.of(run, own["epochs"], run.schedules)
    with plan.entered(run, len(plan.stages) - 1):
        pass  # a schedule on nothing, or a teacher without an optimizer, is refused before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    _forget_others(folder, identity)
    if main:
        replace_file(folder / "recipe.yaml", lambda path: path.write_text(dump(settings)))
        write_json(folder / "run.json", {"identity": identity, "environment": environment(run.device)})
    warn_of_weak_teachers(run)
    with tracking(settings if main else {**settings, "runtime": {**settings["runtime"], "trackers": []}}, folder) as trackers:
        recorder = MetricsLog(
            folder / "metrics.jsonl" if main else None, settings["runtime"]["log_every"], [*listeners, *trackers]
        )
        selection = Selection(folder / "best.safetensors", recorder, every=own["evaluate_every"], patience=own["patience"])
        observers = Observers({"record": recorder, "selection": selection})
        checkpoints = Checkpoints(folder / "checkpoints", settings["runtime"]["keep"])
        position, said = checkpoints.load(run, observers)
        for sentence in said:
            warnings.warn(sentence, stacklevel=2)
        keeper = CheckpointTimer(checkpoints, observers, settings["runtime"]["checkpoint_every"])
        watching = Observers({**observers.observers, "keeper": keeper})
        with keeper.listening():
            train(run, plan, Feed(run), watching, position)
        values, arrays = conclude(run, selection, folder)
        values |= {
            "format": FORMAT,
            "identity": identity,
            "name": settings["name"],
            "seed": settings["seed"],
            "reference": settings["reference"],
            "environment": environment(run.device),
            "seconds": round(time.perf_counter() - started, 2),
        }
        if main:
            save_weights(run.deployed(), folder / DEPLOYED)
            save_arrays(folder / "predictions.npz", arrays)
            write_json(folder / "result.json", values)
            recorder.write({"event": "done", "test": values["test"]})
        run.processes.barrier()
    return Result(folder, identity, values)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep two commands out of one run folder; among torchrun's processes the first holds the lock for all."""
    processes = ProcessGroup(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with locked(folder) if processes.is_main else nullcontext():
        processes.barrier()
        yield


@contextmanager
def _settings_of_torch(settings: Mapping[str, Any]) -> Iterator[None]:
    """Threads and determinism for the length of a run; what was there before comes back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(settings["runtime"]["threads"])
    torch.use_deterministic_algorithms(settings["train"]["deterministic"])
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _forget_others(folder: Path, identity: str) -> None:
    """A folder that holds the start of a run with another identity is cleared: its checkpoints mean something else."""
    before = read_json(folder / "run.json")
    if before is not None and before.get("identity") != identity:
        _clear(folder)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name == ".lock":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
