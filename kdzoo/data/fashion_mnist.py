"""Fashion-MNIST: 60,000 + 10,000 gray images of 28x28, ten classes (H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel
Image Dataset for Benchmarking Machine Learning Algorithms", arXiv 1708.07747).

Read from its four official idx files, plain or gzipped: in the folder of Debian's package, in a given folder, or where
torchvision unpacks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from kdzoo.data.augment import augmentation
from kdzoo.data.idx import read_idx
from kdzoo.data.search_paths import Availability, Search, all_of
from kdzoo.data.sets import Images, ImageSet, fingerprint
from kdzoo.errors import RecipeError
from kdzoo.protocol.roles import Existing

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SEARCH = Search(
    name="Fashion-MNIST",
    files=", ".join(FILES) + ", each plain or .gz,",
    command="apt-get update && apt-get install -y dataset-fashion-mnist",
    inside=("FashionMNIST/raw", "fashion-mnist"),
    extra=(DEBIAN,),
)


class FashionMNIST:
    """Fashion-MNIST.

    Args:
        folder: where the four files are; by default the shared places and the folder of Debian's package are searched.
    """

    kdzoo_kind = "data"
    declares: ClassVar[Mapping[str, int]] = {"classes": len(CLASS_NAMES), "channels": 1, "size": 28}
    augment = augmentation(crop=2, flip=True)
    class_names = CLASS_NAMES

    def __init__(self, *, folder: Existing | None = None) -> None:
        self.folder = folder

    def load(self, root: Path | None = None) -> ImageSet:
        """Read the four files. Raises MissingError if they are nowhere, RecipeError if they are not what they should be."""
        paths = SEARCH.first(_files, self.folder, root)
        if paths is None:
            raise SEARCH.missing(self.folder, root)
        train, test = _part(*paths[:2]), _part(*paths[2:])
        return ImageSet(
            train=train,
            test=test,
            classes=len(CLASS_NAMES),
            class_names=CLASS_NAMES,
            mean=(0.2860,),
            std=(0.3530,),
            augment=self.augment,
            fingerprint=fingerprint(train, test),
        )

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        """Whether the four files are there; none is read."""
        return SEARCH.available("fashion_mnist", license="MIT", look=_files, root=root)


def _files(folder: Path) -> list[Path] | None:
    return all_of(folder, FILES, suffixes=("", ".gz"))


def _part(images_path: Path, labels_path: Path) -> Images:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise RecipeError(
            f"{images_path} holds an array of shape {tuple(images.shape)}: Fashion-MNIST has (N, 28, 28). Fetch the right file."
        )
    if labels.shape != images.shape[:1]:
        raise RecipeError(
            f"{labels_path} holds labels of shape {tuple(labels.shape)} for the {len(images)} images of {images_path.name}: "
            "one label per image is expected. Fetch both files again."
        )
    return Images(images[:, None], labels.long())
