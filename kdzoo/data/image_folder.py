"""Images in folders: `<folder>/train/<class>/<image>`, likewise `validation` (or `val`) and `test`.

Where there is no `test` folder, `val` is the test part, as is usual for ImageNet, and validation images are split off the
training part. Classes are numbered in the alphabetical order of their folders.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdzoo import digests
from kdzoo.data.decoding import decoded_set
from kdzoo.data.search_paths import Availability, places
from kdzoo.data.sets import ImageSet
from kdzoo.errors import RecipeError, did_you_mean, looked

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
WHOLE, PIECE = 2**28, 2**12
PARTS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}


class ImageFolder:
    """A data set in folders.

    Args:
        folder: the one that contains `train`; relative ones are also looked for in the shared places.
        size: side in pixels to which all images are brought; None: they have one shape already.
        channels: 3 or 1 (gray).
        in_memory_mb: up to this much (MiB, decoded) is held as one tensor; more is streamed, which needs `size`.
        mean, std: per channel, of pixels in [0, 1], such as a pretrained teacher expects; None: those of the training images.
        augment: change training images as is usual for photographs: mirror images, and crops, or random windows of streamed
            ones. By default nothing is changed but what the task's own settings say.
    """

    kdzoo_kind = "data"

    def __init__(
        self,
        *,
        folder: str,
        size: int | None = None,
        channels: int = 3,
        in_memory_mb: int = 512,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: bool = False,
    ) -> None:
        if channels not in (1, 3):
            raise ValueError(f"channels must be 3 (color) or 1 (gray), got {channels}.")
        if Path(folder).expanduser().is_absolute():  # others are also looked for in the shared places, when they are read
            self._top_in([Path()], folder)
        self.folder, self.size, self.channels, self.in_memory_mb = folder, size, channels, in_memory_mb
        self.mean, self.std, self.augment = mean, std, augment

    @property
    def declares(self) -> dict[str, int]:
        """What the settings say of the images."""
        return {key: value for key, value in (("channels", self.channels), ("size", self.size)) if value is not None}

    def load(self, root: Path | None = None) -> ImageSet:
        """List the files, and decode them if they are small. Raises RecipeError if the folders are not as they should be."""
        top = self._top(root)
        folders = _part_folders(top)
        class_names = _class_names(folders["train"])
        return decoded_set(
            str(top),
            {part: _listed(folder, class_names, self.channels) for part, folder in folders.items()},
            class_names=class_names,
            size=self.size,
            in_memory_mb=self.in_memory_mb,
            mean=self.mean,
            std=self.std,
            augment=self.augment,
        )

    def _top(self, root: Path | None) -> Path:
        return self._top_in([Path(), *places(root)], self.folder)

    @staticmethod
    def _top_in(around: Sequence[Path], folder: str) -> Path:
        candidates = [(place / Path(folder).expanduser()) for place in around]  # an absolute folder stays as it is
        top = next((place for place in candidates if os.path.isdir(place)), None)
        if top is None:
            raise RecipeError(
                f"There is no folder {folder} ({looked(*candidates)}): set folder to the one that contains "
                "train/<class>/<image>."
            )
        return top

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        """The user names the place."""
        return Availability("image_folder", None, "the folder you set", None, "that of your images", "set folder")


class Files:
    """Decodes image files with Pillow (see `streaming.Decoder`)."""

    def __init__(self, folder: Path, names: Sequence[str], labels: Tensor, channels: int) -> None:
        self.folder, self.labels, self.mode = folder, labels, "RGB" if channels == 3 else "L"
        self.names = np.array(names)  # one array, not a million strings that every worker would copy

    def image(self, index: int) -> Tensor:
        """An image as uint8 (C, h, w)."""
        from PIL import Image

        try:
            with Image.open(self.describe(index)) as file:
                pixels = np.array(file.convert(self.mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise RecipeError(f"{self.describe(index)} cannot be read as an image ({error}): replace or remove it.") from error
        return torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1).permute(2, 0, 1)

    def describe(self, index: int) -> str:
        """The file."""
        return str(self.folder / str(self.names[index]))

    def summary(self) -> bytes:
        """Names, sizes and contents; of a set above `WHOLE` bytes, a piece out of the middle of each file, for speed."""
        files = [self.folder / str(name) for name in self.names]
        sizes = [file.stat().st_size for file in files]
        piece = None if sum(sizes) <= WHOLE else PIECE
        contents = (_piece(file, size, piece) for file, size in zip(files, sizes, strict=True))
        listed = "\n".join(f"{name} {size}" for name, size in zip(self.names, sizes, strict=True))
        return f"{listed} {digests.of_stream(contents)}".encode()


def _piece(file: Path, size: int, length: int | None) -> bytes:
    """A file's bytes, or so many around its middle, where a compressed image differs if anything above differs."""
    with file.open("rb") as opened:
        opened.seek(0 if length is None else max(0, (size - length) // 2))
        return opened.read(length)


def _part_folders(top: Path) -> dict[str, Path]:
    found = {part: next((top / n for n in names if (top / n).is_dir()), None) for part, names in PARTS.items()}
    if found["test"] is None:
        found["test"] = found.pop("validation")
    if found["train"] is None or found["test"] is None:
        lacking = "train" if found["train"] is None else "test (or val)"
        raise RecipeError(
            f"{top} has no folder {lacking}: {top}/train/<class>/<image> and {top}/test/<class>/<image> are expected."
        )
    return {part: folder for part, folder in found.items() if folder is not None}


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")))
    if not names:
        raise RecipeError(f"{folder} has no folders inside: one folder of images for each class is expected there.")
    return names


def _listed(folder: Path, class_names: tuple[str, ...], channels: int) -> Files:
    for name in _class_names(folder):
        if name not in class_names:
            raise RecipeError(
                f"{folder / name} is a class that the training folder does not have; {did_you_mean(name, class_names)} "
                "Give all parts the same class folders."
            )
    names, labels = [], []
    for label, class_name in enumerate(class_names):
        inside = sorted(p.relative_to(folder).as_posix() for p in (folder / class_name).rglob("*") if _is_image(p))
        if not inside:
            raise RecipeError(
                f"{folder / class_name} is missing or holds no images ({', '.join(sorted(SUFFIXES))}): "
                "every class needs some in every part."
            )
        names += inside
        labels += [label] * len(inside)
    return Files(folder, names, torch.tensor(labels), channels)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()
