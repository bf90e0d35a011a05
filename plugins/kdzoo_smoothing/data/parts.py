"""What the sources of this folder that change another one share: a set with some of its images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdzoo.data.sets import Images, ImageSet, fingerprint
from kdzoo.data.splits import FIXED_SEED
from kdzoo.errors import CapabilityError
from kdzoo.random import Streams


def chosen(name: str, source: ImageSet, keep: Callable[[str, Tensor], Tensor], **changes: object) -> ImageSet:
    """The set with the images whose places (n,) in a part `keep(part, labels)` gives, and its fingerprint.

    Args: name: of the source that does it, for the message. Raises CapabilityError for images that are not in memory.
    """
    parts = {part: _taken(name, images, keep(part, images.labels)) for part, images in source.parts.items()}
    made = {"train": parts["train"], "test": parts["test"], "validation": parts.get("validation")}
    return replace(source, **made, **changes, fingerprint=fingerprint(*made.values()))  # type: ignore[arg-type]


def first_of_classes(labels: Tensor, sizes: Tensor) -> Tensor:
    """Sorted places (n,) in `labels` (N,) of at most `sizes[c]` (C,) samples of each class, chosen by a hash of the place."""
    places = torch.arange(len(labels))
    order = Streams(FIXED_SEED).uniform(places, 1, "first_of_classes")[:, 0].argsort(stable=True)
    order = order[labels[order].argsort(stable=True)]
    counts = torch.bincount(labels, minlength=len(sizes))
    rank = places - (counts.cumsum(0) - counts)[labels[order]]
    return order[rank < sizes[labels[order]]].sort().values


def _taken(name: str, images: Images, places: Tensor) -> Images:
    if not isinstance(images.images, Tensor):
        raise CapabilityError(f"{name} chooses among images in memory, but these are streamed; raise its in_memory_mb.")
    return Images(images.images[places], images.labels[places])
