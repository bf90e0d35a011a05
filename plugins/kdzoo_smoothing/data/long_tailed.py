"""A long-tailed training set: from class to class there are fewer images, by a constant factor.

Cao, Wei, Gaidon, Arechiga, Ma, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019 (arXiv
1906.07413), whose CIFAR sets are made so:

    n_c = n ratio^(-c / (C - 1)),  c = 0 .. C - 1        n: images of the largest class; the last class has n / ratio

Test and validation parts stay as they are. Which images are kept is fixed, whatever the seed of a run.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from kdzoo.data.sets import ImageSet
from kdzoo.protocol.blame import loaded
from kdzoo.protocol.roles import Data
from kdzoo.ranges import at_least
from kdzoo_smoothing.data.parts import chosen, first_of_classes


def tail(most: int, classes: int, ratio: float) -> Tensor:
    """(C,) sizes of the classes, at least 1 each.

    >>> tail(100, 3, 100.0)
    tensor([100,  10,   1])
    """
    exponent = torch.arange(classes, dtype=torch.float64) / max(classes - 1, 1)
    return (most * ratio**-exponent).round().long().clamp(min=1)


class LongTailed:
    """Another source with a long-tailed training part.

    Args: data: the source. ratio: of the largest class to the smallest, at least 1.
    """

    kdzoo_kind = "data"

    def __init__(self, *, data: Data, ratio: float = 100.0) -> None:
        at_least(1, ratio=ratio)
        self.data, self.ratio = data, ratio

    @property
    def declares(self) -> dict[str, int]:
        """What the data inside declare."""
        return dict(getattr(self.data, "declares", {}))

    def load(self, root: Path | None = None) -> ImageSet:
        """Load the source and leave images out of its training part."""
        source = loaded(self.data, root, ImageSet, "task.data.data")
        most = int(torch.bincount(source.train.labels).max())
        sizes = tail(most, source.classes, self.ratio)

        def keep(part: str, labels: Tensor) -> Tensor:
            return first_of_classes(labels, sizes) if part == "train" else torch.arange(len(labels))

        return chosen("long_tailed", source, keep)
