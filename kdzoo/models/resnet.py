"""ResNets for small images: three stages of basic blocks, depth 6n + 2.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385, section 4.2, with the
projection shortcuts and the wider `x4` variants that Tian et al. (CRD, ICLR 2020, arXiv 1910.10699) compare methods on.
Parameter names are those of the RepDistiller release, so its checkpoints load.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.errors import RecipeError
from kdzoo.models.building_blocks import GlobalPool, conv, kaiming_convolutions, stack
from kdzoo.models.tap_names import StageTaps, name_taps
from kdzoo.ranges import at_least

NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the width or the size changes."""

    def __init__(self, wide_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = conv(wide_in, width, stride=stride), nn.BatchNorm2d(width), nn.ReLU()
        self.conv2, self.bn2, self.relu2 = conv(width, width), nn.BatchNorm2d(width), nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or wide_in != width:
            self.downsample = nn.Sequential(conv(wide_in, width, 1, stride=stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu1(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h)) + self.downsample(x)
        return self.relu2(h)


class ResNet(nn.Module):
    """`widths` are those of the stem and the three stages; raises RecipeError unless depth = 6n + 2."""

    def __init__(self, *, classes: int, channels: int = 3, depth: int = 20, widths: Sequence[int] = NARROW) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise RecipeError(f"a resnet of depth {depth} does not exist: depth must be 6n + 2 (8, 14, 20, 26, 32, ...).")
        if len(widths) != 4:
            raise RecipeError(f"a resnet needs 4 widths (the stem and three stages), got {list(widths)}.")
        at_least(1, widths=widths)
        stem, first, second, third = widths
        blocks = (depth - 2) // 6
        self.conv1, self.bn1, self.relu = conv(channels, stem), nn.BatchNorm2d(stem), nn.ReLU()
        self.layer1 = stack(BasicBlock, depth=blocks, wide_in=stem, width=first, stride=1)
        self.layer2 = stack(BasicBlock, depth=blocks, wide_in=first, width=second, stride=2)
        self.layer3 = stack(BasicBlock, depth=blocks, wide_in=second, width=third, stride=2)
        self.pool = GlobalPool()
        self.fc = nn.Linear(third, classes)
        kaiming_convolutions(self)
        last = [f"layer{n}.{blocks - 1}" for n in (1, 2, 3)]
        stages = [StageTaps(f"layer{n}", f"{block}.relu2:input", f"{block}.bn2") for n, block in enumerate(last, start=1)]
        name_taps(self, stem="relu", stages=stages, pooled="pool", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.pool(x))


def resnet8(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-8: 83,892 parameters at 100 classes."""
    return ResNet(depth=8, classes=classes, channels=channels)


def resnet14(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-14: 181,108 parameters at 100 classes."""
    return ResNet(depth=14, classes=classes, channels=channels)


def resnet20(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-20: 278,324 parameters at 100 classes."""
    return ResNet(depth=20, classes=classes, channels=channels)


def resnet32(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-32: 472,756 parameters at 100 classes."""
    return ResNet(depth=32, classes=classes, channels=channels)


def resnet44(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-44: 667,188 parameters at 100 classes."""
    return ResNet(depth=44, classes=classes, channels=channels)


def resnet56(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-56: 861,620 parameters at 100 classes."""
    return ResNet(depth=56, classes=classes, channels=channels)


def resnet110(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-110: 1,736,564 parameters at 100 classes."""
    return ResNet(depth=110, classes=classes, channels=channels)


def resnet8x4(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-8, stages four times wider: 1,233,540 parameters at 100 classes."""
    return ResNet(depth=8, widths=WIDE, classes=classes, channels=channels)


def resnet32x4(*, classes: int, channels: int = 3) -> ResNet:
    """ResNet-32, stages four times wider: 7,433,860 parameters at 100 classes."""
    return ResNet(depth=32, widths=WIDE, classes=classes, channels=channels)
