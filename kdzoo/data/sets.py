"""What an image source returns: fixed train, test and perhaps validation images, checked once where they enter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kdzoo import digests
from kdzoo.data.augment import Augmentation
from kdzoo.errors import RecipeError

if TYPE_CHECKING:
    from kdzoo.data.streaming import Streamed


USUAL, MEASURED, GIVEN = "usual for this data set", "measured on the training images", "as the recipe gives them"


@dataclass(frozen=True)
class Images:
    """One part of a data set.

    Attributes:
        images: uint8 (N, C, H, W), or float32 of that shape in [0, 1]; `Streamed` where they do not fit into memory.
        labels: int64 (N,).
    """

    images: Tensor | Streamed
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def to(self, device: torch.device | str) -> Images:
        """The same part with its tensors on `device`; streamed images stay where they are."""
        images = self.images.to(device) if isinstance(self.images, Tensor) else self.images
        return replace(self, images=images, labels=self.labels.to(device))


@dataclass(frozen=True)
class ImageSet:
    """A labeled image data set with fixed parts.

    Attributes:
        train, test: always there; `validation` is None where the source has none of its own (see `splits.split`).
        mean, std: per channel, of images in [0, 1]; statistics: where they are from, in words.
        augment: what is usual for this data set in training.
        fingerprint: a hash of the content, equal for equal images in whatever file format.
        margin: the share of the shorter side whose middle square the images were cut to; None: they are whole.

    Raises:
        RecipeError: parts that do not fit together, or labels outside 0..classes-1.
    """

    train: Images
    test: Images
    classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augmentation
    fingerprint: str
    validation: Images | None = None
    statistics: str = USUAL
    margin: float | None = None

    def __post_init__(self) -> None:
        for name, part in self.parts.items():
            _check(name, part, self.classes)
            if part.shape != self.train.shape:
                raise RecipeError(
                    f"The {name} images have shape {part.shape}, the training images {self.train.shape} (C, H, W): "
                    "bring all parts to one shape."
                )
        if len(self.class_names) != self.classes:
            raise RecipeError(f"{len(self.class_names)} class names for {self.classes} classes: give one name per class.")
        if not len(self.mean) == len(self.std) == self.shape[0]:
            raise RecipeError(
                f"mean has {len(self.mean)} and std {len(self.std)} values for images of {self.shape[0]} channels: "
                "give one of each per channel."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.train.shape

    @property
    def parts(self) -> dict[str, Images]:
        """The parts that exist, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


def _check(name: str, part: Images, classes: int) -> None:
    if isinstance(part.images, Tensor) and (part.images.ndim != 4 or part.images.dtype not in (torch.uint8, torch.float32)):
        raise RecipeError(
            f"The {name} images are {part.images.dtype} of shape {tuple(part.images.shape)}: "
            "uint8 or float32 (N, C, H, W) is expected."
        )
    if part.labels.ndim != 1 or part.labels.dtype != torch.int64:
        raise RecipeError(
            f"The {name} labels are {part.labels.dtype} of shape {tuple(part.labels.shape)}: int64 (N,) is expected."
        )
    if len(part.images) != len(part.labels) or not len(part.labels):
        raise RecipeError(
            f"The {name} part has {len(part.images)} images and {len(part.labels)} labels: one label per image, "
            "and at least one image, is expected."
        )
    low, high = int(part.labels.min()), int(part.labels.max())
    if low < 0 or high >= classes:
        raise RecipeError(
            f"The {name} labels reach from {low} to {high}, but the data set has {classes} classes: "
            f"labels 0 to {classes - 1} are expected."
        )


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of (N, C, H, W) images, in units of [0, 1]; a constant channel gets std 1."""
    if images.dtype == torch.uint8:
        levels = torch.arange(256, dtype=torch.float64) / 255
        counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]).double()
        mean = (counts @ levels) / counts.sum(1)
        std = ((counts @ levels.square()) / counts.sum(1) - mean.square()).clamp(min=0).sqrt()
    else:
        flat = images.double().transpose(0, 1).flatten(1)
        mean, std = flat.mean(1), flat.std(1, correction=0)
    std = torch.where(std < 1e-8, torch.ones_like(std), std)
    return tuple(mean.tolist()), tuple(std.tolist())


def fingerprint(*parts: Images | None) -> str:
    """SHA-256 over the parts' pixels and labels with their shapes; of streamed images, what `Streamed.summary` says."""
    return digests.of_stream(_content(parts))


def _content(parts: Sequence[Images | None]) -> Iterator[bytes | memoryview]:
    for part in parts:
        for item in (part.images, part.labels) if part else ():
            if isinstance(item, Tensor):
                yield f"{item.dtype} {tuple(item.shape)}".encode()
                yield item.cpu().contiguous().numpy().data
            else:
                yield item.summary()
        yield b"|"
