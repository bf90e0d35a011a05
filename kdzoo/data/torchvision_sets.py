"""Any torchvision data set that has integer labels and a split, by the name of its class.

torchvision reads what it has downloaded before; nothing is downloaded here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdzoo import digests
from kdzoo.data.decoding import decoded_set
from kdzoo.data.search_paths import Availability, places
from kdzoo.data.sets import ImageSet
from kdzoo.errors import MissingError, RecipeError, did_you_mean
from kdzoo.protocol.roles import Existing

SPLITS = {"train": ("train", "trainval"), "validation": ("val", "valid"), "test": ("test",)}
LABELS = ("targets", "labels", "_labels", "_samples")


class TorchvisionSet:
    """A torchvision data set.

    Args:
        name: its class in torchvision.datasets, such as `SVHN`.
        folder: torchvision's `root`; by default $KDZOO_DATA or ~/.cache/kdzoo, whichever has it.
        size: side in pixels to which all images are brought; None: they have one shape already.
        channels: 3 or 1 (gray); None: as the first training image.
        in_memory_mb: up to this much (MiB, decoded) is held as one tensor; more is streamed, which needs `size`.
        mean, std: per channel, of pixels in [0, 1], such as a pretrained teacher expects; None: those of the training images.
        augment: change training images as is usual for photographs: mirror images, and crops, or random windows of streamed
            ones. By default nothing is changed but what the task's own settings say.
    """

    kdzoo_kind = "data"

    def __init__(
        self,
        *,
        name: str,
        folder: Existing | None = None,
        size: int | None = None,
        channels: int | None = None,
        in_memory_mb: int = 512,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: bool = False,
    ) -> None:
        if channels not in (None, 1, 3):
            raise ValueError(f"channels must be 3 (color), 1 (gray) or null, got {channels}.")
        self.name, self.folder = name, folder
        self.size, self.channels, self.in_memory_mb = size, channels, in_memory_mb
        self.mean, self.std, self.augment = mean, std, augment

    @property
    def declares(self) -> dict[str, int]:
        """What the settings say of the images."""
        return {key: value for key, value in (("channels", self.channels), ("size", self.size)) if value is not None}

    def load(self, root: Path | None = None) -> ImageSet:
        """Open the parts. Raises RecipeError if the class does not fit, MissingError if its files are not there."""
        kind = _class(self.name)
        roots = [Path(self.folder).expanduser()] if self.folder else places(root)
        opened = self._open(kind, roots)
        channels = self.channels or len(_Items(opened["train"], self.name, None).image(0))
        decoders = {part: _Items(data, f"torchvision's {self.name} {part}", channels) for part, data in opened.items()}
        names = getattr(opened["train"], "classes", None) or ()
        count = 1 + max(int(decoder.labels.max()) for decoder in decoders.values())
        return decoded_set(
            f"torchvision's {self.name}",
            decoders,
            class_names=tuple(map(str, names if len(names) >= count else range(count))),
            size=self.size,
            in_memory_mb=self.in_memory_mb,
            mean=self.mean,
            std=self.std,
            augment=self.augment,
        )

    def _open(self, kind: type, roots: Sequence[Path]) -> dict[str, Any]:
        failures: list[str] = []
        for place in roots:
            try:
                return _parts(kind, place)
            except ModuleNotFoundError as error:
                raise MissingError(
                    f"torchvision's {self.name} needs {error.name}, which is not installed. Run: pip install {error.name}"
                ) from error
            except (RuntimeError, OSError) as error:
                failures.append(f"{place}: {error}")
            except (ValueError, IndexError, KeyError, EOFError, AssertionError) as error:
                raise RecipeError(
                    f"torchvision cannot read {self.name} in {place} ({type(error).__name__}: {error}): fetch the data again."
                ) from error
        raise MissingError(f"torchvision cannot open {self.name} ({'; '.join(failures)}). {_how_to_get(kind, roots[0])}")

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        """The user names the set."""
        return Availability("torchvision", None, "the folder you set", None, "that of the set", "see torchvision.datasets")


def _class(name: str) -> type:
    import torchvision

    names = [key for key in torchvision.datasets.__all__ if isinstance(getattr(torchvision.datasets, key), type)]
    if name not in names:
        raise RecipeError(f"torchvision has no data set named {name!r}; {did_you_mean(name, names)}")
    kind: type = getattr(torchvision.datasets, name)
    parameters = inspect.signature(kind).parameters
    if not {"train", "split"} & set(parameters):
        raise RecipeError(
            f"torchvision's {name} has no train or split argument, so its test images are not known: "
            "choose another set, or arrange its images as an image_folder."
        )
    required = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if further := sorted(set(required) - {"root", "split", "train"}):
        raise RecipeError(
            f"torchvision's {name} cannot be opened by name alone, it needs {', '.join(further)}: choose another set, or "
            "arrange its images as an image_folder."
        )
    return kind


def _how_to_get(kind: type, place: Path) -> str:
    arguments = inspect.signature(kind).parameters
    if "download" not in arguments:
        return f"torchvision cannot download it: put its official files into {place}."
    part, values = ("train", "(True, False)") if "train" in arguments else ("split", "('train', 'test')")
    call = f"[d.{kind.__name__}('{place}', {part}=p, download=True) for p in {values}]"
    return f'Get it with: python -c "import torchvision.datasets as d; {call}"'


def _parts(kind: type, place: Path) -> dict[str, Any]:
    """The data sets of the parts that the class has; `val` is the test part of one that has no `test`."""
    arguments = set(inspect.signature(kind).parameters)
    fixed = {"download": False} if "download" in arguments else {}
    if "train" in arguments:
        return {part: kind(place, train=part == "train", **fixed) for part in ("train", "test")}
    opened = {part: _first(lambda split: kind(place, split=split, **fixed), names) for part, names in SPLITS.items()}
    if opened["test"] is None:
        opened["test"] = opened.pop("validation")
    for part in ("train", "test"):
        if opened[part] is None:
            raise RecipeError(
                f"torchvision's {kind.__name__} has no {part} split: choose another set, or arrange its images as an "
                "image_folder."
            )
    return {part: data for part, data in opened.items() if data is not None}


def _first(open_split: Callable[[str], Any], names: Sequence[str]) -> Any:
    """The first split that exists; torchvision raises ValueError for one that does not."""
    for name in names:
        try:
            return open_split(name)
        except ValueError:
            continue
    return None


class _Items:
    """Reads a torchvision data set (see `streaming.Decoder`)."""

    def __init__(self, data: Any, name: str, channels: int | None) -> None:
        self.data, self.name, self.channels = data, name, channels
        self.labels = _labels(data, name)

    def image(self, index: int) -> Tensor:
        """An image as uint8 (C, h, w)."""
        from torchvision.transforms.functional import pil_to_tensor

        try:
            image = self.data[index][0]
            image.load()
        except (OSError, SyntaxError) as error:
            raise RecipeError(f"{self.describe(index)} cannot be read ({error}): fetch the data again.") from error
        gray = image.mode == "L" if self.channels is None else self.channels == 1
        pixels: Tensor = pil_to_tensor(image.convert("L" if gray else "RGB"))
        return pixels

    def describe(self, index: int) -> str:
        """Which image."""
        return f"{self.name} image {index}"

    def summary(self) -> bytes:
        """The labels and every so many-th image: reading all of a large set takes too long."""
        some = range(0, len(self.labels), max(1, len(self.labels) // 64))
        found = digests.of_stream([self.labels.numpy().tobytes(), *(self.image(index).numpy().tobytes() for index in some)])
        return bytes.fromhex(found)


def _labels(data: Any, name: str) -> Tensor:
    values = next((getattr(data, key) for key in LABELS if getattr(data, key, None) is not None), None)
    if isinstance(values, list) and values and isinstance(values[0], tuple):
        values = [pair[1] for pair in values]  # `_samples` are pairs of a path and a label
    try:
        labels = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        labels = torch.empty(0)
    if labels.ndim != 1 or labels.is_floating_point() or len(labels) != len(data):
        raise RecipeError(
            f"{name} has no list with one whole number per image as its label: choose a classification set, or arrange "
            "its images as an image_folder."
        )
    return labels.long()
