"""The first classes of another source, and so many images of each: nested subsets, for studies of the number of classes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from kdzoo.data.sets import ImageSet
from kdzoo.errors import RecipeError
from kdzoo.protocol.blame import loaded
from kdzoo.protocol.roles import Data
from kdzoo.ranges import at_least
from kdzoo_smoothing.data.parts import chosen, first_of_classes


class SomeClasses:
    """The images of the first `count` classes.

    Args:
        data: the source. count: at least 2.
        each: training images of a class at most, a fixed choice whatever the seed; null keeps all.
    """

    kdzoo_kind = "data"

    def __init__(self, *, data: Data, count: int, each: int | None = None) -> None:
        at_least(2, count=count)
        at_least(1, each=each)
        most = getattr(data, "declares", {}).get("classes", count)
        if count > most:
            raise ValueError(f"count must be at most {most}, the number of classes of these data, got {count}")
        self.data, self.count, self.each = data, count, each

    @property
    def declares(self) -> dict[str, int]:
        """What the data inside declare, with the classes that are kept."""
        return {**getattr(self.data, "declares", {}), "classes": self.count}

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The first ones of the source's, where these are known."""
        names = getattr(self.data, "class_names", None)
        return None if names is None else tuple(names[: self.count])

    def load(self, root: Path | None = None) -> ImageSet:
        """Load the source and leave the other classes out. Raises RecipeError if it has fewer."""
        source = loaded(self.data, root, ImageSet, "task.data.data")
        if self.count > source.classes:
            raise RecipeError(f"task.data: count is {self.count}, but the source has {source.classes} classes; choose fewer.")

        def keep(part: str, labels: Tensor) -> Tensor:
            places = (labels < self.count).nonzero()[:, 0]
            if part != "train" or self.each is None:
                return places
            return places[first_of_classes(labels[places], torch.full((self.count,), self.each))]

        return chosen("some_classes", source, keep, classes=self.count, class_names=source.class_names[: self.count])
