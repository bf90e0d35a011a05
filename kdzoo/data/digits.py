"""The handwritten digits inside scikit-learn: 1,797 gray images of 8x8, ten classes; nothing has to be fetched.

They are the test part of the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998), which has no
official split of its own. Ours is fixed: 597 stratified test images, chosen by a hash of the index, and 1,200 for training.
The writers are not known, so both parts hold images of the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kdzoo.data.augment import augmentation
from kdzoo.data.search_paths import Availability
from kdzoo.data.sets import Images, ImageSet, channel_statistics, fingerprint
from kdzoo.data.splits import FIXED_SEED, stratified
from kdzoo.errors import MissingError

TEST_SIZE = 597
COMMAND = "pip install scikit-learn"


class Digits:
    """scikit-learn's digits; the 17 gray levels 0..16 are spread over 0..255."""

    kdzoo_kind = "data"
    declares: ClassVar[Mapping[str, int]] = {"classes": 10, "channels": 1, "size": 8}
    class_names = tuple(str(digit) for digit in range(10))
    augment = augmentation(crop=1)

    def load(self, root: Path | None = None) -> ImageSet:
        """Read them from the installed package; `root` is not needed."""
        file = _file()
        if file is None:
            raise MissingError(f"The digits data come with scikit-learn, which is not installed. Run: {COMMAND}")
        table = _table(file)
        images = table[:, :-1].view(-1, 1, 8, 8).mul(255 / 16).round().to(torch.uint8)
        labels = table[:, -1].long()
        in_test = torch.zeros(len(labels), dtype=torch.bool)
        in_test[stratified(labels, TEST_SIZE, seed=FIXED_SEED, stream="digits/test")] = True
        train, test = (Images(images[part], labels[part]) for part in (~in_test, in_test))
        mean, std = channel_statistics(images[~in_test])
        return ImageSet(
            train=train,
            test=test,
            classes=10,
            class_names=self.class_names,
            mean=mean,
            std=std,
            augment=self.augment,
            fingerprint=fingerprint(train, test),
        )

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        """Whether the package is there; nothing is imported."""
        file = _file()
        return Availability(
            name="digits",
            found=file is not None,
            where=str(file or ""),
            size=file.stat().st_size if file else None,
            license="part of scikit-learn (BSD-3-Clause)",
            get=COMMAND,
        )


def _file() -> Path | None:
    """The file inside scikit-learn, which is not imported: that takes longer than training on the digits."""
    spec = find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
    return file if file is not None and file.is_file() else None


@cache
def _table(file: Path) -> Tensor:
    """(1797, 65): 64 gray levels and the class of each image, float64. Read once a process."""
    return torch.from_numpy(np.loadtxt(file, delimiter=","))
