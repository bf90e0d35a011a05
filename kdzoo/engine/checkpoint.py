"""Checkpoints: everything a run needs to go on exactly where it was.

A checkpoint is a folder: `weights.safetensors` (learners, methods, teachers that change), `state.pt` (optimizers, scaler,
position, observers; loads with `weights_only=True`) and `manifest.json` with their digests. Randomness needs no state, see
`kdzoo.random`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kdzoo import digests
from kdzoo.engine.files import replace_folder
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.errors import RunFailed

FORMAT = 1
NAME = re.compile(r"\d+-\d+-\d+")  # stage, epoch, batch


class Checkpoints:
    """The checkpoints of one run folder, newest last; older ones than the newest `keep` are removed."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, max(keep, 1)
        self.pending: dict[str, Any] | None = None

    def save(self, run: Run, position: Position, observer: Observer) -> None:
        """Write a checkpoint and drop the oldest."""
        name = f"{position.stage:02d}-{position.epoch:05d}-{position.batch:07d}"
        replace_folder(self.folder / name, lambda folder: _write(folder, run, position, observer))
        for old in self._names()[: -self.keep]:
            shutil.rmtree(self.folder / old)

    def load(self, run: Run, observer: Observer) -> tuple[Position, list[str]]:
        """Restore the newest sound checkpoint; the place to go on from and what there is to say about broken ones.

        Optimizers do not exist before their stage is entered: `restore_optimizers` does that part.
        """
        said = []
        for name in reversed(self._names()):
            folder = self.folder / name
            problem = _problem(folder)
            if problem:
                said.append(f"checkpoint {folder} is unusable ({problem}); falling back to the one before it.")
                continue
            state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
            restore_modules(run, folder)
            observer.restore(json.loads(state["observers"]))
            run.notes = dict(state["notes"])
            self.pending = state
            return Position(**state["position"]), said
        observer.restore({})  # killed before its first checkpoint: what was logged will be logged again
        return Position(), said

    def restore_optimizers(self, run: Run) -> None:
        """Once the resumed stage has made its optimizers: give them their state back."""
        if self.pending is None:
            return
        for role, state in self.pending["optimizers"].items():
            run.optimizers[role].load_state_dict(state)
        if run.precision.scaler is not None and self.pending["scaler"]:
            run.precision.scaler.load_state_dict(self.pending["scaler"])
        self.pending = None

    def _names(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if not entry.name.startswith("."))


def _changing(run: Run) -> Iterator[tuple[str, nn.Module]]:
    yield from run.learners.items()
    for label, method in run.methods.items():
        yield f"methods.{label}", method
    for name, teacher in run.teachers.items():
        if not teacher.frozen:
            yield f"teachers.{name}", teacher


def _write(folder: Path, run: Run, position: Position, observer: Observer) -> None:
    weights: dict[str, Tensor] = {}
    extra: dict[str, Any] = {}
    for name, module in _changing(run):
        for key, value in module.state_dict().items():
            if isinstance(value, Tensor):
                weights[f"{name}.{key}"] = value.detach().cpu().clone().contiguous()
            else:
                extra[f"{name}.{key}"] = value
    save_file(weights, folder / "weights.safetensors")
    state = {
        "position": asdict(position),
        "optimizers": {role: optimizer.state_dict() for role, optimizer in run.optimizers.items()},
        "scaler": run.precision.scaler.state_dict() if run.precision.scaler is not None else None,
        "observers": json.dumps(observer.state()),
        "extra": extra,
        "notes": {name: float(value) for name, value in run.notes.items()},
    }
    try:
        torch.save(state, folder / "state.pt")
    except RuntimeError as error:  # how torch reports a write that the disk refused
        raise OSError(f"state.pt could not be written ({error})") from None
    found = {file.name: digests.of_file(file) for file in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps({"format": FORMAT, "sha256": found}))


def _problem(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, expected in manifest["sha256"].items():
            if digests.of_file(folder / name) != expected:
                return f"{name} is damaged"
        if manifest["format"] != FORMAT:
            return f"its format is {manifest['format']}, this kdzoo reads {FORMAT}"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return "its manifest cannot be read"
    return None


def at_epochs(folder: Path) -> dict[int, Path]:
    """The sound checkpoints in a run's `checkpoints` folder that were written at the end of an epoch of the main stage."""
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    places = {name: tuple(int(part) for part in name.split("-")) for name in names if NAME.fullmatch(name)}
    main = max((stage for stage, _, _ in places.values()), default=0)
    return {
        epoch: folder / name
        for name, (stage, epoch, batch) in places.items()
        if stage == main and epoch and not batch and _problem(folder / name) is None
    }


def restore_modules(run: Run, checkpoint: Path) -> None:
    """Give the run's modules that change in training the state that they had at a sound checkpoint. Raises RunFailed."""
    kept = load_file(checkpoint / "weights.safetensors")
    kept |= torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)["extra"]
    for name, module in _changing(run):
        prefix = f"{name}."
        state = {k.removeprefix(prefix): v for k, v in kept.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise RunFailed(
                f"the checkpoint does not fit {name}: {str(error).splitlines()[-1].strip()}; start with --force."
            ) from None
