"""Wide ResNets: three stages of pre-activation blocks, depth 6n + 4, `widen` times 16, 32 and 64 channels.

Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016, arXiv 1605.07146. As in the tables of Tian et al. (CRD, ICLR 2020),
the stem and the stages of this family are tapped where they are computed, *before* the BatchNorm and ReLU that open the next
block; `stageN.preact` is the output of that BatchNorm. What the classifier pools is not `stage3` but `classified`, the
map after the last BatchNorm and ReLU. Parameter names are those of the RepDistiller release.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from kdzoo.errors import RecipeError
from kdzoo.models.building_blocks import GlobalPool, conv, drop, kaiming_convolutions, stack
from kdzoo.models.tap_names import StageTaps, name_taps
from kdzoo.ranges import at_least


class WideBlock(nn.Module):
    """BatchNorm and ReLU come first; where the width changes, the shortcut is taken after them."""

    def __init__(self, wide_in: int, width: int, stride: int, *, rate: float) -> None:
        super().__init__()
        self.bn1, self.relu1 = nn.BatchNorm2d(wide_in), nn.ReLU()
        self.conv1 = conv(wide_in, width, stride=stride)
        self.bn2, self.relu2 = nn.BatchNorm2d(width), nn.ReLU()
        self.dropout = drop(rate)
        self.conv2 = conv(width, width)
        self.convShortcut = None if wide_in == width else conv(wide_in, width, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu1(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(h)
        h = self.relu2(self.bn2(self.conv1(h)))
        return shortcut + self.conv2(self.dropout(h))


class WideStage(nn.Module):
    """`depth` blocks under the name `layer`, which the released checkpoints use."""

    def __init__(self, wide_in: int, width: int, *, depth: int, stride: int, dropout: float) -> None:
        super().__init__()
        block = partial(WideBlock, rate=dropout)
        self.layer = stack(block, depth=depth, wide_in=wide_in, width=width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """`dropout` acts between the two convolutions of a block (0: none, as in the tables).

    Raises RecipeError unless depth = 6n + 4, ValueError unless widen >= 1 and 0 <= dropout < 1.
    """

    def __init__(self, *, classes: int, channels: int = 3, depth: int = 40, widen: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise RecipeError(f"a wide resnet of depth {depth} does not exist: depth must be 6n + 4 (10, 16, 22, 28, 40, ...).")
        at_least(1, widen=widen)
        blocks = (depth - 4) // 6
        first, second, third = 16 * widen, 32 * widen, 64 * widen
        self.conv1 = conv(channels, 16)
        self.block1 = WideStage(16, first, depth=blocks, stride=1, dropout=dropout)
        self.block2 = WideStage(first, second, depth=blocks, stride=2, dropout=dropout)
        self.block3 = WideStage(second, third, depth=blocks, stride=2, dropout=dropout)
        self.bn1, self.relu = nn.BatchNorm2d(third), nn.ReLU()
        self.pool = GlobalPool()
        self.fc = nn.Linear(third, classes)
        kaiming_convolutions(self)
        nn.init.zeros_(self.fc.bias)
        norms = ["block2.layer.0.bn1", "block3.layer.0.bn1", "bn1"]
        stages = [StageTaps(f"block{n}", norm, norm) for n, norm in enumerate(norms, start=1)]
        name_taps(self, stem="conv1", stages=stages, pooled="pool", classifier="fc", classified="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(self.pool(self.relu(self.bn1(x))))


def wrn_16_1(*, classes: int, channels: int = 3) -> WideResNet:
    """WRN-16-1: 180,916 parameters at 100 classes."""
    return WideResNet(depth=16, widen=1, classes=classes, channels=channels)


def wrn_16_2(*, classes: int, channels: int = 3) -> WideResNet:
    """WRN-16-2: 703,284 parameters at 100 classes."""
    return WideResNet(depth=16, widen=2, classes=classes, channels=channels)


def wrn_40_1(*, classes: int, channels: int = 3) -> WideResNet:
    """WRN-40-1: 569,780 parameters at 100 classes."""
    return WideResNet(depth=40, widen=1, classes=classes, channels=channels)


def wrn_40_2(*, classes: int, channels: int = 3) -> WideResNet:
    """WRN-40-2: 2,255,156 parameters at 100 classes."""
    return WideResNet(depth=40, widen=2, classes=classes, channels=channels)
