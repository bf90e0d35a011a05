"""Batched, per-sample augmentation as pure functions of uniform numbers that the caller supplies.

No generator is involved: row i of the result depends on row i of the images and of `uniform` only. Hence an image's
augmentation does not change with the batch it falls into, the device or the process. Images keep their type: uint8, or
float in [0, 1]; `normalize` comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.ranges import at_least, between


class Augment(Protocol):
    """One augmentation: images (B, C, H, W) and uniform numbers (B, draws) in [0, 1) to images of the same shape and type."""

    @property
    def draws(self) -> int: ...

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Crop:
    """A random crop of the original size after padding with black by `padding` pixels on each side."""

    padding: int
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        at_least(1, crop=self.padding)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = F.pad(images, [self.padding] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (B, C, 2p+1, 2p+1, H, W)
        top, left = pick(uniform, 2 * self.padding + 1).unbind(1)
        return windows[torch.arange(len(images), device=images.device), :, top, left]


@dataclass(frozen=True)
class Flip:
    """A horizontal mirror image for half of the samples."""

    draws: ClassVar[int] = 1

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        return torch.where(per_image(uniform[:, 0] < 0.5), images.flip(3), images)


@dataclass(frozen=True)
class Cutout:
    """A square of `size` pixels around a random pixel is blanked; at the border it is cut off (DeVries and Taylor,
    "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv 1708.04552).

    `fill` is per channel and in [0, 1]: the data set's mean, which becomes 0 after normalization as in the paper, or black.
    """

    size: int
    fill: tuple[float, ...] = (0.0,)
    draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        at_least(1, cutout=self.size)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        rows = self._inside(pick(uniform[:, 0], height), height)
        columns = self._inside(pick(uniform[:, 1], width), width)
        fill = stored(torch.tensor(self.fill, device=images.device), images.dtype).view(1, -1, 1, 1)
        return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], fill, images)

    def _inside(self, center: Tensor, length: int) -> Tensor:
        first = center - self.size // 2
        place = torch.arange(length, device=center.device)
        return (place >= first[:, None]) & (place < first[:, None] + self.size)  # (B, length)


@dataclass(frozen=True)
class Jitter:
    """Brightness, contrast and (for color images) saturation, each times a factor uniform in 1 ± its strength."""

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    draws: ClassVar[int] = 3

    def __post_init__(self) -> None:
        between(0, 1, brightness=self.brightness, contrast=self.contrast, saturation=self.saturation)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        strength = uniform.new_tensor([self.brightness, self.contrast, self.saturation])
        brightness, contrast, saturation = (per_image(f) for f in (1 + (2 * uniform - 1) * strength).unbind(1))
        pixels = (unit(images) * brightness).clamp(0, 1)
        # The mean is taken over whole numbers: their sum is the same in whatever order a device adds them up.
        mean = (gray(pixels) * 255).round().long().sum((1, 2, 3), keepdim=True) / (255 * images[0, 0].numel())
        pixels = (mean + (pixels - mean) * contrast).clamp(0, 1)
        luma = gray(pixels)
        return stored((luma + (pixels - luma) * saturation).clamp(0, 1), images.dtype)


@dataclass(frozen=True)
class Augmentation:
    """Several augmentations, one after the other."""

    steps: tuple[Augment, ...] = ()

    @property
    def draws(self) -> int:
        """Uniform numbers that one sample takes."""
        return sum(step.draws for step in self.steps)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Images (B, C, H, W) and uniform numbers (B, draws) to images of the same shape and type."""
        if uniform.shape != (len(images), self.draws):
            raise ValueError(f"uniform has shape {tuple(uniform.shape)}, expected {(len(images), self.draws)}.")
        used = 0
        for step in self.steps:
            images = step(images, uniform[:, used : used + step.draws])
            used += step.draws
        return images


def augmentation(
    *, crop: int = 0, flip: bool = False, cutout: int = 0, fill: Sequence[float] = (0.0,), policy: Augment | None = None
) -> Augmentation:
    """What recipes configure: pixels of padding before the crop, mirroring, side of the blanked square; 0 is without.

    Args: policy: a further one, before the square is blanked (`rand_augment.RandAugment`).

    Raises ValueError for a negative number.
    """
    at_least(0, crop=crop, cutout=cutout)
    steps: list[Augment | None] = [
        Crop(crop) if crop else None,
        Flip() if flip else None,
        policy,
        Cutout(cutout, tuple(fill)) if cutout else None,
    ]
    return Augmentation(tuple(step for step in steps if step))


def strong(weak: Augmentation, *, shape: tuple[int, int, int], fill: Sequence[float] = (0.0,)) -> Augmentation:
    """A strong view of images of `shape` (C, H, W): shifts of up to a quarter, then the weak view's steps other than its
    crop, color jitter of strength 0.4, and a blanked square of half the side.
    """
    _, height, width = shape
    side = min(height, width)
    kept = tuple(step for step in weak.steps if not isinstance(step, Crop | Cutout))
    return Augmentation((Crop(max(1, side // 4)), *kept, Jitter(), Cutout(max(1, side // 2), tuple(fill))))


def normalize(images: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """(x - mean) / std per channel, float32; uint8 images are divided by 255 first. Tensors are not copied."""
    pixels = unit(images)
    center, spread = (torch.as_tensor(v, dtype=pixels.dtype, device=pixels.device).view(-1, 1, 1) for v in (mean, std))
    return (pixels - center).div_(spread)


def pick(uniform: Tensor, count: int) -> Tensor:
    """Whole numbers 0..count-1, evenly, from uniform numbers in [0, 1)."""
    return (uniform * count).long().clamp_(max=count - 1)


def per_image(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def unit(images: Tensor) -> Tensor:
    """Pixels in [0, 1]."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def stored(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Pixels in [0, 1] as images of a type have them."""
    return (pixels * 255).round().to(dtype) if dtype == torch.uint8 else pixels.to(dtype)


def gray(pixels: Tensor) -> Tensor:
    """Luma (B, 1, H, W) after ITU-R BT.601; images without three colors are averaged."""
    if pixels.shape[1] != 3:
        return pixels.mean(1, keepdim=True)
    red, green, blue = pixels.chunk(3, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue
