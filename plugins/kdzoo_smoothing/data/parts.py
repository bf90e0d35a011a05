"""What the sources of this folder that change another one share: a set with some of its images, and their labels renamed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from kdzoo.data.sets import Images, ImageSet, fingerprint
from kdzoo.errors import CapabilityError


def chosen(name: str, source: ImageSet, keep: Callable[[str, Tensor], Tensor], **changes: object) -> ImageSet:
    """The set with the images whose places (n,) in a part `keep(part, labels)` gives, and its fingerprint.

    Args: name: of the source that does it, for the message. Raises CapabilityError for images that are not in memory.
    """
    parts = {part: _taken(name, images, keep(part, images.labels)) for part, images in source.parts.items()}
    made = {"train": parts["train"], "test": parts["test"], "validation": parts.get("validation")}
    return replace(source, **made, **changes, fingerprint=fingerprint(*made.values()))  # type: ignore[arg-type]


def _taken(name: str, images: Images, places: Tensor) -> Images:
    if not isinstance(images.images, Tensor):
        raise CapabilityError(f"{name} chooses among images in memory, but these are streamed; raise its in_memory_mb.")
    return Images(images.images[places], images.labels[places])
