"""Checkpoints: everything a run needs to go on exactly where it was.

A checkpoint is a folder: `weights.safetensors` (learners, methods, teachers that change), `state.pt` (their plain attributes,
optimizers, scaler, position, observers; loads with `weights_only=True`) and `manifest.json` with their digests. Randomness
needs no state, see `kdzoo.random`.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kdzoo import digests
from kdzoo.engine.attributes import Attributes
from kdzoo.engine.files import remove_folder, replace_folder
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.errors import RunFailed

FORMAT = 2
NAME = re.compile(r"(\d+)-(\d+)-(\d+)")
"""Stage, epoch and batch that a checkpoint's folder is named after."""


class Checkpoints:
    """The checkpoints of one run folder.

    Args:
        keep: how many are kept: the newest, and those before it.
        identity: of the run; a checkpoint of another one is never loaded.
        run: as it is before training.
    """

    def __init__(self, folder: Path, *, keep: int, identity: str, run: Run) -> None:
        self.folder, self.keep, self.identity = folder, max(keep, 1), identity
        self.attributes = Attributes(dict(_changing(run)) | {f"schedules.{path}": own for path, own in run.schedules.items()})
        self.pending: dict[str, Any] | None = None
        self.warned = False

    def save(self, run: Run, position: Position, observer: Observer) -> None:
        """Write a checkpoint; drop older ones than the last `keep`, and what is left of a later, broken one."""
        place = (position.stage, position.epoch, position.batch)
        self._warn_of_lost()
        content = {
            "position": asdict(position),
            "observers": json.dumps(observer.state()),
            "attributes": self.attributes.changed(),
        }
        name = f"{position.stage:02d}-{position.epoch:05d}-{position.batch:07d}"
        replace_folder(self.folder / name, lambda folder: _write(folder, run, content, self.identity))
        self._prune(place)

    def load(self, run: Run, observer: Observer) -> tuple[Position, list[str]]:
        """Restore the newest sound checkpoint; the place to go on from and what there is to say about broken ones.

        Optimizers do not exist before their stage is entered: `restore_stage` does that part.
        """
        said = []
        for place, folder in sorted(self._found().items(), reverse=True):
            problem = _problem(folder, self.identity)
            if problem:
                said.append(f"checkpoint {folder} is unusable ({problem}); falling back to the one before it.")
                continue
            state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
            _restore(run, folder, state)
            observer.restore(json.loads(state["observers"]))
            run.notes = dict(state["notes"])
            self.pending = state
            run.processes.barrier()
            if run.processes.is_main:
                self._prune(place)
            return Position(**state["position"]), said
        observer.restore({})  # killed before its first checkpoint: what was logged will be logged again
        return Position(), said

    def restore_stage(self, run: Run) -> None:
        """Once the resumed stage is entered: give optimizers and attributes their state back.

        Not before, as the numbers that schedules start from are read from the attributes as they are configured.
        """
        if self.pending is None:
            return
        for role, state in self.pending["optimizers"].items():
            run.optimizers[role].load_state_dict(state)
        if run.precision.scaler is not None and self.pending["scaler"]:
            run.precision.scaler.load_state_dict(self.pending["scaler"])
        self.attributes.restore(self.pending["attributes"])
        self.pending = None

    def _prune(self, newest: tuple[int, ...]) -> None:
        """Keep the newest sound checkpoint and those before it: by where they stand, so that no broken one outlives it."""
        found = self._found()
        later = [place for place in found if place > newest]
        older = [place for place in sorted(found) if place <= newest][: -self.keep]
        for place in (*later, *older):
            remove_folder(found[place])

    def _found(self) -> dict[tuple[int, ...], Path]:
        """The folders of checkpoints by where they stand."""
        if not self.folder.is_dir():
            return {}
        named = {folder: NAME.fullmatch(folder.name) for folder in self.folder.iterdir()}
        return {tuple(map(int, match.groups())): folder for folder, match in named.items() if match}

    def _warn_of_lost(self) -> None:
        lost = [path for path in self.attributes.lost() if path.startswith(("methods.", "teachers.", "schedules."))]
        if lost and not self.warned:
            self.warned = True
            warnings.warn(
                f"{', '.join(lost)} changed in training into something that a checkpoint cannot hold, so a resumed run may end "
                "elsewhere: keep it in numbers, texts, tensors and lists or dicts of them, or in an object that is made by the "
                "plugin's constructor or `setup`.",
                stacklevel=2,
            )


def _changing(run: Run) -> Iterator[tuple[str, nn.Module]]:
    yield from run.learners.items()
    for label, method in run.methods.items():
        yield f"methods.{label}", method
    for name, teacher in run.teachers.items():
        if not teacher.frozen:
            yield f"teachers.{name}", teacher


def _write(folder: Path, run: Run, content: dict[str, Any], identity: str) -> None:
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
        **content,
        "optimizers": {role: optimizer.state_dict() for role, optimizer in run.optimizers.items()},
        "scaler": run.precision.scaler.state_dict() if run.precision.scaler is not None else None,
        "extra": extra,
        "notes": {name: float(value) for name, value in run.notes.items()},
    }
    try:
        torch.save(state, folder / "state.pt")
    except RuntimeError as error:  # how torch reports a write that the disk refused
        raise OSError(f"state.pt could not be written ({error})") from None
    found = {file.name: digests.of_file(file) for file in folder.iterdir()}
    (folder / "manifest.json").write_text(json.dumps({"format": FORMAT, "identity": identity, "sha256": found}))


def _problem(folder: Path, identity: str | None = None) -> str | None:
    """What is wrong with a checkpoint (of the run with this identity, if given), or None."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, expected in manifest["sha256"].items():
            if digests.of_file(folder / name) != expected:
                return f"{name} is damaged"
        if manifest["format"] != FORMAT:
            return f"its format is {manifest['format']}, this kdzoo reads {FORMAT}"
        if identity is not None and manifest["identity"] != identity:
            return "it is of a run with other settings"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
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
    _restore(run, checkpoint, torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True))


def _restore(run: Run, checkpoint: Path, state: dict[str, Any]) -> None:
    kept = load_file(checkpoint / "weights.safetensors") | state["extra"]
    for name, module in _changing(run):
        prefix = f"{name}."
        own = {k.removeprefix(prefix): v for k, v in kept.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise RunFailed(
                f"the checkpoint does not fit {name}: {str(error).splitlines()[-1].strip()}; start with --force."
            ) from None
