"""PyTorch data sets and loaders as a data source: read once, as tensors, for notebooks and scripts.

What a loader says of batches and their order is not taken over: kdzoo has its own (`train.batch_size`, the seed), so that every
method sees the same samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    default_collate,
    default_convert,
)

from kdzoo.errors import RecipeError

PARTS = ("train", "validation", "test")
LOOKS = 16
"""Images that are read twice, to see whether a data set changes them: one that flips every second one escapes a single look."""


def are_datasets(data: Any) -> bool:
    """Whether all parts of this are PyTorch data sets or loaders: a mapping by part, or `(train, test)`."""
    parts = list(data.values()) if isinstance(data, Mapping) else data if isinstance(data, Sequence) else []
    return bool(parts) and not isinstance(data, str) and all(isinstance(part, Dataset | DataLoader) for part in parts)


def tensors_of(data: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """The settings of `Tensors` that hold what data sets of images hold.

    Args:
        data: `(train, test)`, or a mapping with `train`, `test` and perhaps `validation`. Each is a data set with a length, or
            a loader of one; its items are pairs of an image (uint8 or floating (C, H, W), an array, or Pillow's) and a label.

    Raises:
        RecipeError: a part is missing, has no length, or holds something else.
    """
    if not isinstance(data, Mapping):
        if len(data) != 2:
            raise RecipeError(
                f"data must be two data sets, (train, test), or a mapping of {', '.join(PARTS)}; got {len(data)}."
            )
        data = dict(zip(("train", "test"), data, strict=True))
    for name in data.keys() - set(PARTS):
        raise RecipeError(f"data has a part {name!r}; the parts are {', '.join(PARTS)}.")
    for name in ("train", "test"):
        if name not in data:
            raise RecipeError(f"data has no part {name!r}: kdzoo needs train and test, and may be given validation.")
    found: dict[str, Any] = {}
    for name, part in data.items():
        where = f"data[{name!r}]"
        read = _behind(part, where) if isinstance(part, DataLoader) else part
        found[f"{name}_images"], found[f"{name}_labels"] = _read(read, where)
    own = data["train"].dataset if isinstance(data["train"], DataLoader) else data["train"]
    names = getattr(own, "classes", None)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        found["class_names"] = tuple(names)
    return found


def _behind(loader: DataLoader[Any], where: str) -> Any:
    """The samples that a loader gives: its data set, or the part of it that a `SubsetRandomSampler` draws.

    Raises RecipeError for what decides otherwise which samples there are, or changes them: that would be lost without a word.
    """
    advice = "give the data set itself, or a torch.utils.data.Subset of it, that has what is to be read."
    if loader.collate_fn not in (default_collate, default_convert):
        raise RecipeError(f"{where} is a loader with a collate_fn of its own, which may change samples: {advice}")
    sampler = loader.sampler
    if isinstance(sampler, SubsetRandomSampler):
        return Subset(loader.dataset, sorted(int(index) for index in sampler.indices))
    whole = type(sampler) is SequentialSampler or (
        type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(sampler.data_source)
    )
    if isinstance(loader.dataset, IterableDataset):
        return loader.dataset  # refused where it is read
    if not whole or type(loader.batch_sampler) not in (BatchSampler, type(None)):
        strange = sampler if not whole else loader.batch_sampler
        raise RecipeError(
            f"{where} is a loader with a {type(strange).__name__}, so kdzoo cannot know which samples there are: {advice}"
        )
    return loader.dataset


def _read(data: Any, where: str) -> tuple[Tensor, Tensor]:
    """All images and labels of a data set, in its order."""
    if isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
        raise RecipeError(
            f"{where} is a {type(data).__name__} without a length, so its samples cannot be told apart: give a data set with "
            "__len__ and __getitem__."
        )
    if not len(data):
        raise RecipeError(f"{where} is empty.")
    images, labels = zip(*(_item(data, index, where) for index in range(len(data))), strict=True)
    for index, image in enumerate(images):
        if image.shape != images[0].shape or image.dtype != images[0].dtype:
            raise RecipeError(
                f"{where}[{index}] is {image.dtype} of shape {tuple(image.shape)}, the first image {images[0].dtype} of shape "
                f"{tuple(images[0].shape)}: resize the images in the data set, all to one shape."
            )
    looks = range(0, len(data), -(-len(data) // LOOKS))
    if not all(torch.equal(_item(data, index, where)[0], images[index]) for index in looks):
        warnings.warn(
            f"{where} gives another image each time, but is read once: its random augmentation is fixed to one draw. Take it "
            "out of the data set, and set task.crop, task.flip and the like instead.",
            stacklevel=4,
        )
    return torch.stack(images), torch.tensor(labels)


def _item(data: Any, index: int, where: str) -> tuple[Tensor, int]:
    item = data[index]
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:
        raise RecipeError(f"{where}[{index}] is a {type(item).__name__}: a pair of an image and its label is expected.")
    image, label = item
    if not isinstance(image, Tensor):
        array = np.asarray(image)  # Pillow's images among them: (H, W) or (H, W, C)
        if array.dtype == object or array.ndim not in (2, 3):
            raise RecipeError(
                f"{where}[{index}] holds a {type(image).__name__} as its image: a tensor (C, H, W), an array or an image of "
                "Pillow is expected."
            )
        from_pillow = not isinstance(image, np.ndarray)
        image = torch.from_numpy(array.copy())
        if from_pillow:
            image = image[None] if image.ndim == 2 else image.permute(2, 0, 1)
    try:
        whole = int(label)
    except (TypeError, ValueError):
        whole = -1
    if whole < 0 or whole != label:
        raise RecipeError(f"{where}[{index}] has the label {label!r}: a whole number from 0 on is expected.")
    return image if image.ndim != 2 else image[None], whole
