"""RandAugment: a few operations an image, drawn from fourteen, all at one magnitude.

E. D. Cubuk, B. Zoph, J. Shlens, Q. V. Le, "RandAugment: Practical automated data augmentation with a reduced search space",
arXiv 1909.13719. Ranges of the operations as in torchvision's `RandAugment`; geometry is nearest-neighbor, filled with black.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.data.augment import gray, per_image, pick, stored, unit
from kdzoo.ranges import at_least, between

STEPS = 30
"""Magnitudes go up to this."""


@dataclass(frozen=True)
class RandAugment:
    """`operations` operations an image, at `magnitude` of 30 (the paper's ImageNet values are 2 and 9)."""

    operations: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        at_least(1, rand_augment=self.operations)
        between(0, STEPS, magnitude=self.magnitude)

    @property
    def draws(self) -> int:
        return 2 * self.operations

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Images (B, C, H, W) and uniform numbers (B, 2 * operations): which operation, and which sign."""
        pixels = unit(images)
        for pair in uniform.view(len(uniform), self.operations, 2).unbind(1):
            choice, sign = pair.unbind(1)
            pixels = self._once(pixels, pick(choice, len(OPERATIONS)), torch.where(sign < 0.5, -1.0, 1.0))
        return stored(pixels, images.dtype)

    def _once(self, pixels: Tensor, chosen: Tensor, sign: Tensor) -> Tensor:
        result = pixels.clone()
        for number, (operation, most) in enumerate(OPERATIONS.values()):
            mine = chosen == number
            if mine.any():
                result[mine] = operation(pixels[mine], most * self.magnitude / STEPS * sign[mine])
        return result


def identity(pixels: Tensor, strength: Tensor) -> Tensor:
    return pixels


def brightness(pixels: Tensor, strength: Tensor) -> Tensor:
    return _blended(pixels, torch.zeros_like(pixels), strength)


def color(pixels: Tensor, strength: Tensor) -> Tensor:
    return _blended(pixels, gray(pixels), strength)


def contrast(pixels: Tensor, strength: Tensor) -> Tensor:
    # Over whole numbers, whose sum is the same in whatever order a device adds them up.
    levels = (gray(pixels) * 255).round().long().sum((1, 2, 3), keepdim=True)
    return _blended(pixels, levels / (255.0 * pixels[0, 0].numel()), strength)


def sharpness(pixels: Tensor, strength: Tensor) -> Tensor:
    """Away from, or toward, the mean of each pixel (counted five times) and its neighbors; the border stays."""
    channels, height, width = pixels.shape[1:]
    if min(height, width) < 3:
        return pixels
    kernel = torch.ones(channels, 1, 3, 3, dtype=pixels.dtype, device=pixels.device)
    kernel[:, :, 1, 1] = 5
    blurred = pixels.clone()
    blurred[:, :, 1:-1, 1:-1] = F.conv2d(pixels, kernel / 13, groups=channels)
    return _blended(pixels, blurred, strength)


def autocontrast(pixels: Tensor, strength: Tensor) -> Tensor:
    """Each channel stretched over the whole range; one of a single level stays."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    return torch.where(high > low, (pixels - low) / (high - low).clamp(min=1e-6), pixels)


def equalize(pixels: Tensor, strength: Tensor) -> Tensor:
    """Each channel's levels spread evenly by rank; one of a single level stays."""
    levels = (pixels * 255).round().long().flatten(2)  # (B, C, H*W)
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.long, device=levels.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    last = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - last) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    found = torch.where(step > 0, table.gather(2, levels), levels)
    return found.view(pixels.shape).to(pixels.dtype) / 255


def posterize(pixels: Tensor, strength: Tensor) -> Tensor:
    """Fewer bits a channel: 8 less the strength's size."""
    dropped = per_image(strength.abs().round().long())
    levels = (pixels * 255).round().long()
    return (((levels >> dropped) << dropped).to(pixels.dtype)) / 255


def solarize(pixels: Tensor, strength: Tensor) -> Tensor:
    """Levels from 1 less the strength's size on are inverted."""
    return torch.where(pixels >= 1 - per_image(strength.abs()), 1 - pixels, pixels)


def rotate(pixels: Tensor, strength: Tensor) -> Tensor:
    angle = strength * math.pi / 180
    return _warped(pixels, angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def shear_x(pixels: Tensor, strength: Tensor) -> Tensor:
    one, none = torch.ones_like(strength), torch.zeros_like(strength)
    return _warped(pixels, one, strength, none, one, from_corner=True)


def shear_y(pixels: Tensor, strength: Tensor) -> Tensor:
    one, none = torch.ones_like(strength), torch.zeros_like(strength)
    return _warped(pixels, one, none, strength, one, from_corner=True)


def translate_x(pixels: Tensor, strength: Tensor) -> Tensor:
    one, none = torch.ones_like(strength), torch.zeros_like(strength)
    return _warped(pixels, one, none, none, one, shift_x=-(strength * pixels.shape[3]).trunc())


def translate_y(pixels: Tensor, strength: Tensor) -> Tensor:
    one, none = torch.ones_like(strength), torch.zeros_like(strength)
    return _warped(pixels, one, none, none, one, shift_y=-(strength * pixels.shape[2]).trunc())


Operation = Callable[[Tensor, Tensor], Tensor]
OPERATIONS: dict[str, tuple[Operation, float]] = {
    "Identity": (identity, 0.0),
    "ShearX": (shear_x, 0.3),
    "ShearY": (shear_y, 0.3),
    "TranslateX": (translate_x, 150 / 331),
    "TranslateY": (translate_y, 150 / 331),
    "Rotate": (rotate, 30.0),
    "Brightness": (brightness, 0.9),
    "Color": (color, 0.9),
    "Contrast": (contrast, 0.9),
    "Sharpness": (sharpness, 0.9),
    "Posterize": (posterize, 4.0),
    "Solarize": (solarize, 1.0),
    "AutoContrast": (autocontrast, 0.0),
    "Equalize": (equalize, 0.0),
}
"""What each does, (B, C, H, W) in [0, 1] and strengths (B,) to the same shape, and its strength at the greatest magnitude."""


def _blended(pixels: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    ratio = 1 + per_image(strength)
    return (ratio * pixels + (1 - ratio) * other).clamp(0, 1)


def _warped(
    pixels: Tensor,
    xx: Tensor,
    xy: Tensor,
    yx: Tensor,
    yy: Tensor,
    *,
    shift_x: Tensor | float = 0.0,
    shift_y: Tensor | float = 0.0,
    from_corner: bool = False,
) -> Tensor:
    """Each image read at an affine map of its pixels' places, around the center or the upper left corner; black outside.

    Args: xx, xy, yx, yy: (B,) the matrix of the map, which starts at the result's pixels.
    """
    count, channels, height, width = pixels.shape
    center_x, center_y = (0.0, 0.0) if from_corner else (width / 2, height / 2)
    x = torch.arange(width, device=pixels.device).view(1, 1, -1) + 0.5 - center_x
    y = torch.arange(height, device=pixels.device).view(1, -1, 1) + 0.5 - center_y
    xx, xy, yx, yy = (value.view(-1, 1, 1) for value in (xx, xy, yx, yy))
    moved_x, moved_y = (torch.as_tensor(value, device=pixels.device).view(-1, 1, 1) for value in (shift_x, shift_y))
    column = (xx * x + xy * y + moved_x + center_x - 0.5).round().long().expand(count, height, width)
    row = (yx * x + yy * y + moved_y + center_y - 0.5).round().long().expand(count, height, width)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).view(count, 1, -1).expand(-1, channels, -1)
    found = pixels.flatten(2).gather(2, place).view(pixels.shape)
    return torch.where(inside[:, None], found, torch.zeros((), dtype=pixels.dtype, device=pixels.device))
