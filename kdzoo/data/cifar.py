"""CIFAR-10 and CIFAR-100: 50,000 + 10,000 color images of 32x32 (A. Krizhevsky, "Learning Multiple Layers of Features from
Tiny Images", 2009).

Read from the official Python or binary version, unpacked or still in its .tar.gz. Training recipes of the field: crops after
4 pixels of padding, mirroring, and the means and deviations below.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kdzoo.cache_folder import CACHE
from kdzoo.data.augment import augmentation
from kdzoo.data.cifar_files import Version, find, read_names, read_part
from kdzoo.data.search_paths import Availability, Search
from kdzoo.data.sets import ImageSet, fingerprint
from kdzoo.protocol.roles import Existing

URL = "https://www.cs.toronto.edu/~kriz"


@dataclass(frozen=True)
class Variant:
    """What differs between the two sets."""

    name: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    versions: tuple[Version, ...]

    @property
    def search(self) -> Search:
        """Where it is looked for."""
        archive = self.versions[0].archive
        folders = [version.folder for version in self.versions]
        return Search(
            name=self.name,
            files=f"the files of {' or '.join(folders)}, or {' or '.join(v.archive for v in self.versions)},",
            command=f"mkdir -p {CACHE} && curl -L -o {CACHE}/{archive} {URL}/{archive}",
            inside=folders,
        )


class CIFAR:
    """Base of both sets.

    Args:
        folder: where the official folder or archive is; by default the shared places are searched.
    """

    kdzoo_kind = "data"
    variant: ClassVar[Variant]
    augment = augmentation(crop=4, flip=True)

    def __init__(self, *, folder: Existing | None = None) -> None:
        self.folder = folder

    @property
    def declares(self) -> dict[str, int]:
        """What is known before any file is read."""
        return {"classes": self.variant.classes, "channels": 3, "size": 32}

    def load(self, root: Path | None = None) -> ImageSet:
        """Read all batches. Raises MissingError if they are nowhere, RecipeError if a file is damaged."""
        variant = self.variant
        place = variant.search.first(lambda folder: find(folder, variant.versions), self.folder, root)
        if place is None:
            raise variant.search.missing(self.folder, root)
        train, test = (read_part(place, files) for files in (place.version.train, place.version.test))
        return ImageSet(
            train=train,
            test=test,
            classes=variant.classes,
            class_names=read_names(place) or tuple(str(number) for number in range(variant.classes)),
            mean=variant.mean,
            std=variant.std,
            augment=self.augment,
            fingerprint=fingerprint(train, test),
        )

    @classmethod
    def available(cls, root: Path | None = None) -> Availability:
        """Whether one of the versions is there; none is read."""
        return cls.variant.search.available(
            cls.__name__.lower(),
            license="none stated; cite Krizhevsky 2009",
            look=lambda folder: place.files if (place := find(folder, cls.variant.versions)) else None,
            root=root,
        )


class CIFAR10(CIFAR):
    """CIFAR-10. The statistics are those of the training pixels."""

    variant = Variant(
        name="CIFAR-10",
        classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        versions=(
            Version(
                folder="cifar-10-batches-py",
                archive="cifar-10-python.tar.gz",
                train=tuple(f"data_batch_{number}" for number in range(1, 6)),
                test=("test_batch",),
                names="batches.meta",
                label="labels",
            ),
            Version(
                folder="cifar-10-batches-bin",
                archive="cifar-10-binary.tar.gz",
                train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
                test=("test_batch.bin",),
                names="batches.meta.txt",
                label=0,
            ),
        ),
    )


class CIFAR100(CIFAR):
    """CIFAR-100 with its fine labels. The statistics are those of the usual distillation recipes (RepDistiller)."""

    variant = Variant(
        name="CIFAR-100",
        classes=100,
        mean=(0.5071, 0.4867, 0.4408),
        std=(0.2675, 0.2565, 0.2761),
        versions=(
            Version(
                folder="cifar-100-python",
                archive="cifar-100-python.tar.gz",
                train=("train",),
                test=("test",),
                names="meta",
                label="fine_labels",
            ),
            Version(
                folder="cifar-100-binary",
                archive="cifar-100-binary.tar.gz",
                train=("train.bin",),
                test=("test.bin",),
                names="fine_label_names.txt",
                label=1,
            ),
        ),
    )
