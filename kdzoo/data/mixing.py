"""Mixed samples: mixup (pixels of two images averaged) and CutMix (a rectangle of another image), labels in the same shares.

H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv 1710.09412;
S. Yun and others, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
arXiv 1905.04899. There the partner is another image of the batch; here it is any training image, drawn by numbers of the
sample's own, so that a sample does not depend on the batch it falls into.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from kdzoo.data.augment import per_image, pick
from kdzoo.functional.labels import label_mask
from kdzoo.ranges import at_least

KNOTS = 4096
"""Intervals of the table that a share's distribution is read from."""


@dataclass(frozen=True)
class Mixing:
    """How samples are mixed.

    Attributes:
        mixup, cutmix: alpha of the Beta(alpha, alpha) that shares are drawn from; 0 is without. With both, each sample gets one
            of them, evenly.
    """

    mixup: float = 0.0
    cutmix: float = 0.0
    draws: ClassVar[int] = 5
    """Uniform numbers a sample: the partner, the share, the rectangle's middle (two), which of both."""

    def __post_init__(self) -> None:
        at_least(0, mixup=self.mixup, cutmix=self.cutmix)

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def partner(self, uniform: Tensor, count: int) -> Tensor:
        """The place among `count` training images of each sample's partner, (B,)."""
        return pick(uniform[:, 0].double(), count)

    def __call__(self, images: Tensor, others: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Images and their partners (B, C, H, W), normalized, and numbers (B, 5): mixed images, and the own shares (B,)."""
        height, width = images.shape[-2:]
        cut = uniform[:, 4] < 0.5 if self.mixup > 0 and self.cutmix > 0 else torch.full_like(uniform[:, 4], self.cutmix > 0) > 0
        share = torch.where(cut, self._share(self.cutmix, uniform[:, 1]), self._share(self.mixup, uniform[:, 1]))
        inside = _rectangle(share, uniform[:, 2:4], height, width)
        kept = 1 - inside.flatten(1).float().mean(1)
        own = torch.where(cut, kept, share)
        blended = per_image(share) * images + (1 - per_image(share)) * others
        cutout = torch.where(inside[:, None], others, images)
        return torch.where(per_image(cut), cutout, blended), own

    def _share(self, alpha: float, uniform: Tensor) -> Tensor:
        """Of Beta(alpha, alpha), from uniform numbers, by its quantiles."""
        if alpha <= 0:
            return torch.ones_like(uniform)
        table = self._quantiles[alpha].to(uniform.device)
        place = uniform * KNOTS
        low = place.long()
        return torch.lerp(table[low], table[low + 1], place - low)

    @cached_property
    def _quantiles(self) -> dict[float, Tensor]:
        from scipy.special import betaincinv

        levels = torch.linspace(0, 1, KNOTS + 1, dtype=torch.float64).numpy()
        return {a: torch.from_numpy(betaincinv(a, a, levels)).float() for a in (self.mixup, self.cutmix) if a > 0}


def mixed_labels(labels: Tensor, others: Tensor, share: Tensor, classes: int) -> Tensor:
    """Labels and their partners' (B,) in shares (B,) of the own one, as probabilities (B, classes)."""
    own, other = label_mask(labels, classes).float(), label_mask(others, classes).float()
    return share[:, None] * own + (1 - share[:, None]) * other


def _rectangle(share: Tensor, middle: Tensor, height: int, width: int) -> Tensor:
    """Of the area 1 - share around a random middle, cut off at the border: (B, height, width), True inside."""
    side = (1 - share).sqrt()
    rows = _span(middle[:, 0], side, height)
    columns = _span(middle[:, 1], side, width)
    return rows[:, :, None] & columns[:, None, :]


def _span(middle: Tensor, side: Tensor, length: int) -> Tensor:
    center, half = pick(middle, length), (side * length).long() // 2
    place = torch.arange(length, device=middle.device)
    return (place >= (center - half)[:, None]) & (place < (center + half)[:, None])
