"""The first classes of another source: nested subsets, for studies of how many classes there are."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from kdzoo.data.sets import ImageSet
from kdzoo.errors import RecipeError
from kdzoo.protocol.roles import Data
from kdzoo.ranges import at_least
from kdzoo_smoothing.data.parts import chosen


class SomeClasses:
    """The images of the first `count` classes. Args: data: the source. count: at least 2."""

    kdzoo_kind = "data"

    def __init__(self, *, data: Data, count: int) -> None:
        at_least(2, count=count)
        self.data, self.count = data, count

    def load(self, root: Path | None = None) -> ImageSet:
        """Load the source and leave the other classes out. Raises RecipeError if it has fewer."""
        source: ImageSet = self.data.load(root)
        if self.count > source.classes:
            raise RecipeError(f"task.data: count is {self.count}, but the source has {source.classes} classes; choose fewer.")

        def keep(part: str, labels: Tensor) -> Tensor:
            return (labels < self.count).nonzero()[:, 0]

        return chosen("some_classes", source, keep, classes=self.count, class_names=source.class_names[: self.count])
