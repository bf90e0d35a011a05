"""What several groups of laws use: training without files, comparing states, a kill in the middle of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kdzoo.engine.feed import Feed
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.protocol.method import Transform
from kdzoo.protocol.outputs import Batch, Output, map_tensors
from kdzoo.recipe.build import build
from kdzoo.recipe.load import Recipe

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Shift(Transform):
    """A transform that nothing should mistake for the identity."""

    changes = frozenset({"student"})

    def forward(self, pair: Any, step: Any = None, *, inner: Tensor | None = None) -> Any:
        def shifted(logits: Tensor) -> Tensor:
            return logits * torch.linspace(0.5, 2.0, logits.shape[1], dtype=logits.dtype)

        if inner is not None:
            return shifted(inner)
        return replace(pair, student=replace(pair.student, scores=shifted(pair.student.logits)))


class Killed(Exception):
    """Raised in the middle of a run, as a kill would end it."""


class Killer:
    """A listener that ends the run at its n-th record."""

    def __init__(self, records: int) -> None:
        self.left = records

    def __call__(self, record: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


class Losses(Observer):
    def __init__(self) -> None:
        self.values: list[float] = []

    def stepped(self, run: Run, position: Position, trained: Any) -> None:
        self.values += [float(v) for micro in trained for v in micro.values.values()]


def train_run(run: Run, recipe: Recipe | None = None, *, epochs: int = 1) -> tuple[list[float], dict[str, Tensor]]:
    """Train for a few epochs; every term of every step, and the final state."""
    settings: Any = recipe.settings if recipe else run.settings
    schedules: Any = {path: build("schedules", spec, path) for path, spec in settings["schedules"].items()}
    losses = Losses()
    train(run, StagePlan.of(run, epochs, schedules), Feed(run), losses, Position())
    return losses.values, state_of({**run.learners, **run.methods})


def state_of(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.detach().clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
        if isinstance(value, Tensor)
    }


def assert_equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor], message: str, ignore: tuple[str, ...] = ()) -> None:
    different = [k for k in a if not k.endswith(ignore or ("\0",)) and not torch.equal(a[k], b[k])]
    assert a.keys() == b.keys(), message
    assert not different, f"{message}: {', '.join(different[:3])}"


def assert_resumes(make: Callable[[Path], Recipe], folder: Path, records: int) -> None:
    """A run that is killed at its n-th record and started again ends as one that was not; `make` gives the recipe by folder."""
    whole = launch(make(folder / "whole"))
    broken = make(folder / "broken")
    broken.settings["runtime"]["checkpoint_every"] = 1
    with pytest.raises(Killed):
        launch(broken, listeners=[Killer(records)])
    resumed = launch(broken)
    a, b = load_file(whole.folder / DEPLOYED), load_file(resumed.folder / DEPLOYED)
    assert_equal(a, b, "the resumed run ends elsewhere")
    assert logged_losses(whole.folder) == logged_losses(resumed.folder), "the resumed run logged other losses"


def logged_losses(folder: Path) -> list[tuple[Any, ...]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(r["stage"], r["epoch"], r["step"], r["loss"]) for r in records if r["event"] == "step"]


def leaves(tree: Any) -> list[Tensor]:
    """Every tensor of a tree (the inputs of a batch, whatever their structure), in order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(keep, tree)
    return found


def same_tree(a: Any, b: Any) -> bool:
    """Whether two trees hold equal tensors."""
    ours, theirs = leaves(a), leaves(b)
    return len(ours) == len(theirs) and all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


@contextmanager
def hidden_labels(run: Run, shift: int) -> Iterator[None]:
    """Every second row of the task's main answer loses its label, which is moved on by `shift` classes before."""
    forward = run.task.forward

    def without(model: Any, batch: Batch, view: str) -> Output:
        output = forward(model, batch, view)
        rows = output.rows
        if rows.target is None or rows.target.is_floating_point() or rows.target.ndim != 1:
            return output
        kept = torch.arange(len(rows.target), device=rows.device) % 2 == 0
        target = torch.where(kept, rows.target, (rows.target + shift) % rows.width)
        return replace(output, rows=replace(rows, target=target, label_weight=kept.to(rows.logits)))

    run.task.forward = without  # type: ignore[method-assign]
    try:
        yield
    finally:
        del run.task.forward
