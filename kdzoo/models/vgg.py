"""VGG with BatchNorm for small images: five blocks of 3x3 convolutions, one linear layer.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, arXiv 1409.1556; `vgg8`
and the single linear layer are those of Tian et al. (CRD, ICLR 2020, arXiv 1910.10699). The first block is the stem. The fourth
max-pooling is skipped below 64 pixels, so that 32-pixel images keep a last map of 4x4. Parameter names are those of the
RepDistiller release, so its checkpoints load.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.models.building_blocks import GlobalPool, kaiming_convolutions, small_classifiers
from kdzoo.models.tap_names import StageTaps, name_taps


def _block(wide_in: int, width: int, depth: int) -> nn.Sequential:
    """`depth` times convolution, BatchNorm, ReLU, without the last ReLU."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Conv2d(wide_in if index == 0 else width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class VGG(nn.Module):
    """`depths` counts the convolutions of the five blocks."""

    def __init__(self, *, depths: Sequence[int], classes: int, channels: int = 3) -> None:
        super().__init__()
        self.block0, self.relu0 = _block(channels, 64, depths[0]), nn.ReLU()
        self.block1, self.relu1 = _block(64, 128, depths[1]), nn.ReLU()
        self.block2, self.relu2 = _block(128, 256, depths[2]), nn.ReLU()
        self.block3, self.relu3 = _block(256, 512, depths[3]), nn.ReLU()
        self.block4, self.relu4 = _block(512, 512, depths[4]), nn.ReLU()
        self.halve = nn.MaxPool2d(2)
        self.pool = GlobalPool()
        self.classifier = nn.Linear(512, classes)
        kaiming_convolutions(self)
        small_classifiers(self)
        stages = [StageTaps(f"relu{n}", f"block{n}", f"block{n}.{3 * depths[n] - 2}") for n in range(1, 5)]
        name_taps(self, stem="relu0", stages=stages, pooled="pool", classifier="classifier")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu0(self.block0(x))
        x = self.relu1(self.block1(self.halve(x)))
        x = self.relu2(self.block2(self.halve(x)))
        x = self.relu3(self.block3(self.halve(x)))
        x = self.relu4(self.block4(x if x.shape[2] < 8 else self.halve(x)))
        return self.classifier(self.pool(x))


def vgg8(*, classes: int, channels: int = 3) -> VGG:
    """VGG-8 with BatchNorm: 3,965,028 parameters at 100 classes."""
    return VGG(depths=(1, 1, 1, 1, 1), classes=classes, channels=channels)


def vgg11(*, classes: int, channels: int = 3) -> VGG:
    """VGG-11 with BatchNorm: 9,277,284 parameters at 100 classes."""
    return VGG(depths=(1, 1, 2, 2, 2), classes=classes, channels=channels)


def vgg13(*, classes: int, channels: int = 3) -> VGG:
    """VGG-13 with BatchNorm: 9,462,180 parameters at 100 classes."""
    return VGG(depths=(2, 2, 2, 2, 2), classes=classes, channels=channels)


def vgg16(*, classes: int, channels: int = 3) -> VGG:
    """VGG-16 with BatchNorm: 14,774,436 parameters at 100 classes."""
    return VGG(depths=(2, 2, 3, 3, 3), classes=classes, channels=channels)


def vgg19(*, classes: int, channels: int = 3) -> VGG:
    """VGG-19 with BatchNorm: 20,086,692 parameters at 100 classes."""
    return VGG(depths=(2, 2, 4, 4, 4), classes=classes, channels=channels)
