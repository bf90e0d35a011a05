"""Which of the built-in data sets are on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdzoo.data.cifar import CIFAR10, CIFAR100
from kdzoo.data.digits import Digits
from kdzoo.data.fashion_mnist import FashionMNIST
from kdzoo.data.image_folder import ImageFolder
from kdzoo.data.torchvision_sets import TorchvisionSet

BUILT_IN = (Digits, FashionMNIST, CIFAR10, CIFAR100, ImageFolder, TorchvisionSet)


def status(root: Path | None = None) -> list[dict[str, Any]]:
    """For each source: name, found (None where the user names the place), where, size in bytes, license, get.

    `root` is the `paths.data` setting. No data are read.
    """
    return [asdict(source.available(root)) for source in BUILT_IN]
