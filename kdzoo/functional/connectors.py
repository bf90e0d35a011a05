"""Small networks that bring a student's features to a teacher's shape. Shapes are (C, H, W); initialization is torch's.

They are trained with the student and, but for SimKD's projector, thrown away with the method.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.features import unit

Shape = tuple[int, ...]


def size_regression(student: Shape, teacher: Shape) -> nn.Module:
    """The convolution that maps (C_s, H_s, W_s) onto (C_t, H_t, W_t), chosen by size as FitNets' reference codes do.

    Half the size: 3x3 with stride 2. Twice the size: transposed 4x4 with stride 2. Otherwise an unpadded kernel of
    `1 + H_s - H_t`, 1x1 for equal sizes.
    """
    (c_s, h_s, w_s), (c_t, h_t, w_t) = student, teacher
    if (h_s, w_s) == (2 * h_t, 2 * w_t):
        return nn.Conv2d(c_s, c_t, 3, stride=2, padding=1)
    if (2 * h_s, 2 * w_s) == (h_t, w_t):
        return nn.ConvTranspose2d(c_s, c_t, 4, stride=2, padding=1)
    if h_s < h_t or w_s < w_t:
        raise CapabilityError(
            f"cannot regress a student map {student} onto a teacher map {teacher}: it must be at least as large, or half "
            "its size; choose taps of nearer sizes."
        )
    return nn.Conv2d(c_s, c_t, (1 + h_s - h_t, 1 + w_s - w_t))


def alignment(student: int, teacher: int) -> nn.Module:
    """A 1x1 convolution to the teacher's channels; nothing where they already agree (MGD, CWD, PKD)."""
    return nn.Identity() if student == teacher else nn.Conv2d(student, teacher, 1)


class HintRegressor(nn.Sequential):
    """FitNets' regressor: `size_regression`, BatchNorm, ReLU."""

    def __init__(self, student: Shape, teacher: Shape) -> None:
        super().__init__(size_regression(student, teacher), nn.BatchNorm2d(teacher[0]), nn.ReLU())


class BoundaryConnector(nn.Sequential):
    """AB's connector: `size_regression` and BatchNorm without ReLU; nothing where the shapes already agree."""

    def __init__(self, student: Shape, teacher: Shape) -> None:
        layers = () if student == teacher else (size_regression(student, teacher), nn.BatchNorm2d(teacher[0]))
        super().__init__(*layers)


class PointwiseConnector(nn.Sequential):
    """1x1 convolution without bias and BatchNorm (OFD); He initialization over the output."""

    def __init__(self, student: int, teacher: int) -> None:
        convolution = nn.Conv2d(student, teacher, 1, bias=False)
        nn.init.normal_(convolution.weight, std=math.sqrt(2 / teacher))
        super().__init__(convolution, nn.BatchNorm2d(teacher))


class RectifiedConnector(nn.Sequential):
    """1x1 convolution without bias, BatchNorm, ReLU (SRRL, WKD-F): for a teacher's map after its rectifier."""

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__(nn.Conv2d(student, teacher, 1, bias=False), nn.BatchNorm2d(teacher), nn.ReLU())


class VariationalHead(nn.Module):
    """VID: three 1x1 convolutions give the mean of the teacher's map, `log_scale` (C_t,) its variance, `initial` at start."""

    def __init__(self, student: int, teacher: int, *, initial: float = 5.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.mean = nn.Sequential(
            nn.Conv2d(student, teacher, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher, teacher, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher, teacher, 1, bias=False),
        )
        self.log_scale = nn.Parameter(torch.full((teacher,), math.log(math.expm1(initial - eps))))

    def forward(self, student: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(student), self.log_scale


class Paraphraser(nn.Module):
    """FT: an auto-encoder of the teacher's map; its code, `width` = `rate` times the channels, is the factor to imitate."""

    def __init__(self, channels: int, *, rate: float = 0.5) -> None:
        super().__init__()
        self.width = max(1, int(channels * rate))
        widths = (channels, channels, self.width, self.width)
        self.encoder = nn.Sequential(*_stack(nn.Conv2d, widths))
        self.decoder = nn.Sequential(*_stack(nn.ConvTranspose2d, widths[::-1]))

    def forward(self, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """The factor and the reconstruction."""
        factor = self.encoder(teacher)
        return factor, self.decoder(factor)


class Translator(nn.Sequential):
    """FT: the student's map to a factor of the width that the teacher's paraphraser has."""

    def __init__(self, student: int, factor: int) -> None:
        widths = (student, student, factor, factor)
        layers: list[nn.Module] = []
        for i, o in pairwise(widths):
            layers += [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.LeakyReLU(0.1)]
        super().__init__(*layers)


class Embed(nn.Module):
    """Linear map of flattened features to unit vectors of `width` numbers (CRD)."""

    def __init__(self, features: int, width: int = 128) -> None:
        super().__init__()
        self.linear = nn.Linear(features, width)

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.linear(x.flatten(1))
        return unit(embedded)


class ClassifierProjector(nn.Sequential):
    """SimKD: 1x1, 3x3 and 1x1 convolutions with BatchNorm and ReLU, of width `teacher / factor`, to the teacher's channels."""

    def __init__(self, student: int, teacher: int, *, factor: int = 2) -> None:
        width = teacher // factor
        layers: list[nn.Module] = []
        for i, o, kernel in ((student, width, 1), (width, width, 3), (width, teacher, 1)):
            convolution = nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(o), nn.ReLU()]
        super().__init__(*layers)


class MaskedGenerator(nn.Module):
    """MGD: 1x1 alignment to the teacher's channels, a mask, and two 3x3 convolutions that have to restore the map."""

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.align = alignment(student, teacher)
        self.generation = nn.Sequential(
            nn.Conv2d(teacher, teacher, 3, padding=1), nn.ReLU(), nn.Conv2d(teacher, teacher, 3, padding=1)
        )

    def forward(self, student: Tensor, keep: Tensor) -> Tensor:
        """`keep` is 0 or 1 and broadcasts over the aligned map: (B, C, 1, 1) for whole channels."""
        generated: Tensor = self.generation(self.align(student) * keep)
        return generated


class AttentionFusion(nn.Module):
    """ReviewKD's ABF: a student map joins the deeper, already fused one by learned attention over positions.

    `forward(x, deeper, size)`: (B, student, H, W), (B, width, h, w) or None -> the map for the teacher (B, teacher, *size)
    and the fused one for the next shallower level (B, width, *size).
    """

    def __init__(self, student: int, width: int, teacher: int, *, fuse: bool) -> None:
        super().__init__()
        reduce = nn.Conv2d(student, width, 1, bias=False)
        expand = nn.Conv2d(width, teacher, 3, padding=1, bias=False)
        for convolution in (reduce, expand):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
        self.reduce, self.expand = (
            nn.Sequential(reduce, nn.BatchNorm2d(width)),
            nn.Sequential(expand, nn.BatchNorm2d(teacher)),
        )
        self.attention = nn.Sequential(nn.Conv2d(2 * width, 2, 1), nn.Sigmoid()) if fuse else None

    def forward(self, x: Tensor, deeper: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        x = self.reduce(x)
        if self.attention is not None and deeper is not None:
            deeper = F.interpolate(deeper, size=x.shape[-2:], mode="nearest")
            share = self.attention(torch.cat([x, deeper], 1))
            x = x * share[:, :1] + deeper * share[:, 1:]
        if tuple(x.shape[-2:]) != size:
            x = F.interpolate(x, size=size, mode="nearest")
        return self.expand(x), x


def _stack(layer: type[nn.Module], widths: tuple[int, ...]) -> list[nn.Module]:
    """3x3 layers of the given widths, each followed by a leaky rectifier of slope 0.1."""
    return [m for i, o in pairwise(widths) for m in (layer(i, o, 3, 1, 1), nn.LeakyReLU(0.1))]
