"""From resolved settings to a finished run folder: identity, skip or resume, train, conclude.

A run folder holds `recipe.yaml` (resolved), `metrics.jsonl`, `checkpoints/`, `best.safetensors`, `student.safetensors` (what is
deployed), `predictions.npz`, and `result.json`, which is written last and marks the run as finished.
"""

from __future__ import annotations

import copy
import functools
import json
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
from kdzoo.engine.files import LOCK, clear_leftovers, locked, remove_folder, replace_file, write_json, writing
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
from kdzoo.engine.tracking import DONE, tracking
from kdzoo.errors import RecipeError
from kdzoo.protocol.task import Task
from kdzoo.recipe.build import build
from kdzoo.recipe.identity import unrepeatable
from kdzoo.recipe.load import Recipe, dump
from kdzoo.teachers.normalization import renormalized, words
from kdzoo.weights import load_weights

Listener = Callable[[dict[str, Any]], None]
Tell = Callable[[str], object]
DEPLOYED, RESULT, STARTED, CHECKPOINTS = "student.safetensors", "result.json", "run.json", "checkpoints"


def launch(
    recipe: Recipe,
    *,
    folder: Path | None = None,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    tell: Tell | None = None,
) -> Result:
    """Train a recipe to its end, or find that it is done.

    Args:
        folder: the run folder; default `<runtime.out>/<name>/<identity>`.
        force: forget what is there and train again.
        listeners: called with every record of the log (progress bars).
        tell: called with sentences about what was found in the folder, and whom this run waits for.

    Raises:
        RecipeError, CapabilityError, MissingError: before anything is written; also where the folder is another run's.
        RunFailed: a loss became NaN, the disk filled up. Interrupted: after SIGINT or SIGTERM.
    """
    settings, tell = recipe.settings, tell or (lambda sentence: None)
    identity = identify(settings)
    folder = folder or Path(settings["runtime"]["out"]) / (settings["name"] or "run") / identity
    with writing(folder), _alone(folder, tell) as processes:
        if force and processes.is_main:
            _clear(folder)
        processes.barrier()
        done = finished(folder, identity)
        if done is not None:
            tell(f"This run is finished already: {folder}. Train it again by --force.")
            return done
        _check_owner(folder, identity)
        unknown = unrepeatable(settings)
        if unknown:
            tell(
                f"Note: no later process will find this run again, it would train anew: {'; '.join(unknown)}. "
                "Keep your code in a file to have it found."
            )
        if any((folder / CHECKPOINTS).glob("[0-9]*")):
            tell(f"Going on from the last checkpoint in {folder}. Start anew by --force.")
        with _settings_of_torch(settings):
            run = assemble(settings, recipe.provenance, train_recipe=functools.partial(trained, tell=tell))
            for sentence in (*run.task.remarks(), *(text for teacher in run.teachers.values() for text in teacher.remarks())):
                tell(sentence)
            return _train(run, recipe, identity, folder, listeners)


def finished(folder: Path, identity: str) -> Result | None:
    """The result of a finished run with this identity, if the folder holds it."""
    try:
        values = json.loads((folder / RESULT).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return Result(folder, identity, values) if values.get("identity") == identity else None


def trained(run: Run, settings: Mapping[str, Any], *, which: str, tell: Tell | None = None) -> nn.Module:
    """The deployed module of a recipe that is a teacher here: trained once, stored under its identity, shared."""
    nested = TeacherRecipe.of(settings, run.settings)
    result = launch(nested.recipe, folder=nested.folder, tell=tell)
    task = opened(nested.settings)
    module = deployable(nested.settings, task)
    file = result.folder / ("best.safetensors" if which == "best" else DEPLOYED)
    load_weights(module, file, "teacher")
    return _as_trained(module, task.preprocessing(), run.task.preprocessing(), f"the teacher {nested.name}", tell)


def _as_trained(module: nn.Module, own: Mapping[str, Any], given: Mapping[str, Any], who: str, tell: Tell | None) -> nn.Module:
    """A module that gets its inputs normalized as in its own training, where that was otherwise than here."""
    names = ("mean", "std")
    if all(own.get(name) == given.get(name) for name in names) or any(
        name not in each for name in names for each in (own, given)
    ):
        return module
    if tell is not None:
        tell(f"Inputs are renormalized for {who}: mean {words(own['mean'])}, sd {words(own['std'])}, as in its own training.")
    return renormalized(module, given, own["mean"], own["std"], who)


def deployable(settings: Mapping[str, Any], task: Task | None = None) -> nn.Module:
    """The module that a recipe deploys, untrained, without its methods where the student itself is deployed.

    Args: task: the recipe's, if it is open already.
    """
    from kdzoo.protocol.method import overrides

    if any(overrides(method_of(label, spec), "deploy") for label, spec in settings["methods"].items()):
        return copy.deepcopy(assemble(settings, train_recipe=trained).deployed())
    return (task or opened(settings)).build(build("models", settings["student"], STUDENT))  # type: ignore[arg-type]


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
    if main:
        write_json(folder / STARTED, {"identity": identity, "environment": environment(run.device)})
        replace_file(folder / "recipe.yaml", lambda path: path.write_text(dump(settings)))
    warn_of_weak_teachers(run)
    with tracking(settings if main else {**settings, "runtime": {**settings["runtime"], "trackers": []}}, folder) as trackers:
        recorder = MetricsLog(
            folder / "metrics.jsonl" if main else None, settings["runtime"]["log_every"], [*listeners, *trackers]
        )
        selection = Selection(folder / "best.safetensors", recorder, every=own["evaluate_every"], patience=own["patience"])
        observers = Observers({"record": recorder, "selection": selection})
        checkpoints = Checkpoints(folder / CHECKPOINTS, keep=settings["runtime"]["keep"], identity=identity, run=run)
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
            recorder.write({"event": DONE, "test": values["test"]})
    if main:  # last: once it is there, nothing more is done for this run
        write_json(folder / RESULT, values)
    run.processes.barrier()
    return Result(folder, identity, values)


@contextmanager
def _alone(folder: Path, tell: Tell) -> Iterator[ProcessGroup]:
    """Keep two commands out of one run folder; among torchrun's processes the first holds the lock for all."""
    processes = ProcessGroup(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with locked(folder, tell) if processes.is_main else nullcontext():
        for place in (folder, folder / CHECKPOINTS) if processes.is_main else ():
            clear_leftovers(place)
        processes.barrier()
        yield processes


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


def _check_owner(folder: Path, identity: str) -> None:
    """Refuse a folder that holds another run, finished or begun: it stays until somebody says that it can go."""
    for name in (RESULT, STARTED):
        try:
            found = json.loads((folder / name).read_text()).get("identity", identity)
        except (FileNotFoundError, ValueError, AttributeError):
            continue
        if found != identity:
            raise RecipeError(
                f"{folder} holds a run of other settings (its identity is {found}, this one's is {identity}), which is kept: "
                "name another folder, or remove what is there by --force (force=True)."
            )


def _clear(folder: Path) -> None:
    """Empty a run folder in such an order that it means the same to the next command wherever this is cut short.

    First what says that the run is finished; then checkpoints, before the log and the weights that belong to them; last what
    says whose checkpoints they are.
    """
    order = {RESULT: 0, CHECKPOINTS: 1, STARTED: 3}
    for entry in sorted(folder.iterdir(), key=lambda entry: order.get(entry.name, 2)):
        if entry.name == LOCK:
            continue
        remove_folder(entry) if entry.is_dir() else entry.unlink()
