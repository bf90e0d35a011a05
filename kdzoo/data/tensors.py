"""The user's own tensors as a data source, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdzoo.data.augment import Augmentation
from kdzoo.data.datasets import are_datasets, tensors_of
from kdzoo.data.sets import GIVEN, MEASURED, Images, ImageSet, channel_statistics, fingerprint
from kdzoo.errors import RecipeError

FOUR = ("train_images", "train_labels", "test_images", "test_labels")


class Tensors:
    """Images and labels in memory; Python only, as a recipe cannot spell them.

    Args:
        train_images, test_images: uint8 or floating (N, C, H, W), also gray (N, H, W), or features (N, D), which become
            (N, 1, 1, D).
        train_labels, test_labels: integers (N,).
        validation_images, validation_labels: likewise; by default validation images are split off the training part.
        class_names: by default the numbers up to the largest label.
        mean, std: per channel, of pixels in [0, 1] (uint8 ones are divided by 255); by default those of the training images.
            All images are normalized by them, which the run says at its start: for images that are normalized already give 0
            and 1, and for a teacher that knows others `teacher.mean` and `teacher.sd`.
        augment: in training; by default nothing.

    Raises:
        RecipeError: they do not fit together.
    """

    kdzoo_kind = "data"

    def __init__(
        self,
        *,
        train_images: Tensor | np.ndarray,
        train_labels: Tensor | np.ndarray,
        test_images: Tensor | np.ndarray,
        test_labels: Tensor | np.ndarray,
        validation_images: Tensor | np.ndarray | None = None,
        validation_labels: Tensor | np.ndarray | None = None,
        class_names: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: Augmentation | None = None,
    ) -> None:
        self.train = Images(_images("train_images", train_images), _labels("train_labels", train_labels))
        self.test = Images(_images("test_images", test_images), _labels("test_labels", test_labels))
        if (validation_images is None) != (validation_labels is None):
            raise ValueError("validation_images and validation_labels belong together: give both, or none")
        self.validation = None
        if validation_images is not None and validation_labels is not None:
            self.validation = Images(
                _images("validation_images", validation_images), _labels("validation_labels", validation_labels)
            )
        self.class_names, self.mean, self.std, self.augment = class_names, mean, std, augment

    @staticmethod
    def from_python(given: Any) -> dict[str, Any] | None:
        """The four (train_images, train_labels, test_images, test_labels), or PyTorch data sets or loaders (train, test)."""
        if are_datasets(given):
            return {"use": "image_classification", "data": {"use": "tensors", **tensors_of(given)}}
        if not isinstance(given, Sequence) or len(given) != len(FOUR):
            return None
        return {"use": "image_classification", "data": {"use": "tensors", **dict(zip(FOUR, given, strict=True))}}

    @property
    def declares(self) -> dict[str, int]:
        """What models are told of them."""
        channels, height, width = self.train.shape
        size = {"size": height} if height == width else {}
        return {"classes": len(self._names()), "channels": channels, **size}

    def load(self, root: Path | None = None) -> ImageSet:
        """Check and return them; `root` is not needed."""
        assert isinstance(self.train.images, Tensor)
        mean, std = channel_statistics(self.train.images)
        names = self._names()
        return ImageSet(
            train=self.train,
            test=self.test,
            validation=self.validation,
            classes=len(names),
            class_names=names,
            mean=tuple(self.mean) if self.mean is not None else mean,
            std=tuple(self.std) if self.std is not None else std,
            augment=self.augment or Augmentation(),
            fingerprint=fingerprint(*self._parts),
            statistics=MEASURED if self.mean is None or self.std is None else GIVEN,
        )

    def _names(self) -> tuple[str, ...]:
        count = 1 + max(int(part.labels.max()) if len(part) else -1 for part in self._parts)
        return tuple(self.class_names or (str(number) for number in range(count)))

    @property
    def _parts(self) -> list[Images]:
        return [part for part in (self.train, self.test, self.validation) if part is not None]


def _images(name: str, values: Tensor | np.ndarray) -> Tensor:
    images = torch.as_tensor(values).cpu()
    if images.ndim not in (2, 3, 4) or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise RecipeError(
            f"{name} is {images.dtype} of shape {tuple(images.shape)}: give uint8 or floating images (N, C, H, W) or "
            "(N, H, W), or features (N, D)."
        )
    if images.ndim < 4:
        images = images[:, None] if images.ndim == 3 else images[:, None, None]
    return images if images.dtype == torch.uint8 else images.float()


def _labels(name: str, values: Tensor | np.ndarray) -> Tensor:
    labels = torch.as_tensor(values).cpu()
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
        raise RecipeError(f"{name} is {labels.dtype} of shape {tuple(labels.shape)}: give whole numbers (N,).")
    return labels.long()
