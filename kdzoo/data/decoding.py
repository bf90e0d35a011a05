"""Bring the parts of a decoded data set into memory if they are small, or stream them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kdzoo.data.augment import Augmentation, augmentation
from kdzoo.data.sets import GIVEN, MEASURED, Images, ImageSet, channel_statistics, fingerprint
from kdzoo.data.splits import FIXED_SEED
from kdzoo.data.streaming import Decoder, Streamed
from kdzoo.errors import RecipeError
from kdzoo.random import Streams

STATISTICS_SAMPLE = 256


def decoded_set(
    name: str,
    decoders: Mapping[str, Decoder],
    *,
    class_names: tuple[str, ...],
    size: int | None,
    in_memory_mb: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    augment: bool = False,
) -> ImageSet:
    """An ImageSet of the decoders `train`, `test` and perhaps `validation`.

    With `augment`, training images are mirrored and cropped: in memory after padding by an eighth of the height, streamed ones
    to random windows while they are decoded. Without `mean` and `std`, those of the training images are taken, if streamed of
    256 of them.

    Raises:
        RecipeError: images of different shapes, or too many of them, and no `size`.
    """
    if size is not None and size < 1:
        raise RecipeError(f"{name}: size must be at least 1 pixel, got {size}.")
    first = decoders["train"].image(0)
    shape = tuple(first.shape) if size is None else (len(first), size, size)
    megabytes = sum(len(decoder.labels) for decoder in decoders.values()) * math.prod(shape) / 2**20
    small = megabytes <= in_memory_mb
    if not small and size is None:
        raise RecipeError(
            f"The images of {name} take about {megabytes:.0f} MiB when decoded, more than in_memory_mb = {in_memory_mb}: "
            "set size (the side in pixels) to stream them, or raise in_memory_mb."
        )
    if small:
        first_name = decoders["train"].describe(0)
        parts = {part: Images(_held(d, shape, size, first_name), d.labels) for part, d in decoders.items()}
    else:
        assert size is not None
        parts = {part: Images(Streamed(d, size, shape[0], windows=augment), d.labels) for part, d in decoders.items()}
    statistics = GIVEN
    if mean is None or std is None:
        statistics = MEASURED
        measured = channel_statistics(_sample(parts["train"]))
        mean, std = mean or measured[0], std or measured[1]
    return ImageSet(
        **parts,
        classes=len(class_names),
        class_names=class_names,
        mean=tuple(mean),
        std=tuple(std),
        augment=augmentation(crop=shape[1] // 8 if small else 0, flip=True) if augment else Augmentation(),
        fingerprint=fingerprint(*(parts.get(part) for part in ("train", "validation", "test"))),
        statistics=statistics,
        margin=None if size is None else Streamed.margin,
    )


def _held(decoder: Decoder, shape: tuple[int, ...], size: int | None, first_name: str) -> Tensor:
    """All images as one tensor (N, C, H, W); `first_name` is the image that set the shape."""
    pixels = torch.empty((len(decoder.labels), *shape), dtype=torch.uint8)
    framed = None if size is None else Streamed(decoder, size, shape[0])
    for index, row in enumerate(pixels):
        image = framed[index][0] if framed else decoder.image(index)
        if image.shape != shape:
            raise RecipeError(
                f"{decoder.describe(index)} has the shape {tuple(image.shape)}, {first_name} {shape} (C, H, W): "
                "set size (the side in pixels) to bring all images to one shape."
            )
        row.copy_(image)
    return pixels


def _sample(part: Images) -> Tensor:
    """Pixels to take statistics of: all that are in memory, else a fixed sample."""
    if isinstance(part.images, Tensor):
        return part.images
    order = Streams(FIXED_SEED).permutation(len(part), "data/statistics")
    return torch.stack([part.images[index][0] for index in order[:STATISTICS_SAMPLE].tolist()])
