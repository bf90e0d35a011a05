"""A few test images for the report, chosen where the models disagree, with what each of them says.

The images are saved once, by the bench, so that the report can be written again without the data set and without torch.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from kdzoo.benchmark.report.records import Record, Records

SAMPLES = "samples.npz"
COUNT = 12
DAMAGED = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, NotImplementedError)
"""What numpy raises for an archive that is not whole."""
Logits = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Said:
    """What a model says of one image: a class, its probability, and whether it is right."""

    name: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Samples:
    """Images (K, C, H, W), their true classes by name, and row label -> what it says of each."""

    images: NDArray[np.uint8]
    truth: Sequence[str]
    said: Mapping[str, Sequence[Said]]


@dataclass(frozen=True)
class Predictions:
    """Test labels (N,), and row -> logits (N, C) at its first finished seed, the teachers of the first cell before them.

    Rows of a grid over data may have been tested on other images; those are not among them. `folder` is a cell that is.
    """

    folder: Path
    target: NDArray[np.int64]
    logits: Mapping[str, Logits]


def save_samples(records: Records, settings: Mapping[Path, Mapping[str, Any]]) -> None:
    """Choose images and keep them in the bench's folder; nothing where the task has no labeled images.

    Args:
        settings: of the cells, by their folders; they say where the data are.
    """
    from kdzoo.engine.files import replace_file

    found = predictions(records)
    if found is None:
        return
    target, logits = found.target, found.logits
    index = choose(target, [values.argmax(1) == target for values in logits.values()])
    pictures = _pictures(settings[found.folder], index)
    if pictures is None:
        return
    images, names = pictures

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, images=images, index=index, names=np.array(names))

    replace_file(records.folder / SAMPLES, write)


def read_samples(records: Records, found: Predictions | None) -> Samples | None:
    """The kept images with what the finished models say of them; None if there are none."""
    path = records.folder / SAMPLES
    if not path.is_file() or found is None:
        return None
    try:
        with path.open("rb") as file, np.load(file) as kept:
            images, index, names = kept["images"], kept["index"], [str(name) for name in kept["names"]]
    except DAMAGED:
        return None
    target, logits = found.target, found.logits
    if index.size and index.max() >= len(target):
        return None
    truth = target[index]
    said = {row: [_said(z, int(y), names) for z, y in zip(values[index], truth, strict=True)] for row, values in logits.items()}
    return Samples(images, [names[label] for label in truth], said)


def predictions(records: Records) -> Predictions | None:
    """What the finished models said of the test split; None where that is no matrix of logits."""
    logits: dict[str, Logits] = {}
    target: NDArray[np.int64] | None = None
    folder = records.folder
    for cell in records.done:
        arrays = None if cell.row in logits else _arrays(cell)
        if arrays is None or not {"last.logits", "last.target"} <= arrays.keys():
            continue
        if target is None:
            target, folder = arrays["last.target"], cell.folder
        if not np.array_equal(arrays["last.target"], target):
            continue
        teachers = {
            key.removeprefix("teacher:").removesuffix(".logits"): value
            for key, value in arrays.items()
            if key.startswith("teacher:") and key.endswith(".logits")
        }
        logits = {name: value for name, value in teachers.items() if name not in logits} | logits
        logits.setdefault(cell.row, arrays["last.logits"])
    return None if target is None else Predictions(folder, target, logits)


def choose(target: NDArray[np.int64], right: Sequence[NDArray[np.bool_]], *, count: int = COUNT) -> NDArray[np.int64]:
    """Indices of the images on which the models disagree most, one class after the other.

    Args:
        target: labels (N,). right: for each model, whether it is right (N,).
    """
    share = np.mean(right, axis=0)
    order = np.argsort(np.abs(share - 0.5), kind="stable")
    within = np.zeros(len(target), np.int64)  # an image's place among those of its class
    for label in np.unique(target):
        own = order[target[order] == label]
        within[own] = np.arange(len(own))
    chosen = order[np.argsort(within[order], kind="stable")][:count]
    return np.asarray(chosen[np.argsort(target[chosen], kind="stable")], np.int64)


def _said(logits: Logits, truth: int, names: Sequence[str]) -> Said:
    odds = np.exp(logits.astype(np.float64) - logits.max())
    best = int(logits.argmax())
    return Said(names[best], float(odds[best] / odds.sum()), best == truth)


def _arrays(cell: Record) -> dict[str, NDArray[Any]] | None:
    try:
        with (cell.folder / "predictions.npz").open("rb") as file, np.load(file) as kept:
            return {name: kept[name] for name in kept.files}
    except DAMAGED:
        return None


def _pictures(settings: Mapping[str, Any], index: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Sequence[str]] | None:
    """Test images as uint8 (K, C, H, W), stretched to the full range, and the names of the classes."""
    import torch

    from kdzoo.engine.launch import opened

    task = opened(settings)
    batch = next(iter(task.batches("test", [torch.from_numpy(index)], epoch=0, train=False)))
    inputs = batch.inputs
    if not isinstance(inputs, torch.Tensor) or inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        return None
    low, high = (extreme(inputs, dim=(0, 2, 3), keepdim=True) for extreme in (torch.amin, torch.amax))
    images = (255 * (inputs - low) / (high - low).clamp(min=1e-8)).round().to(torch.uint8).numpy()
    return images, task.class_names() or [str(label) for label in range(int(task.facts()["classes"]))]
