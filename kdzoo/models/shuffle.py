"""ShuffleNets for small images: a 1x1 stem at full size and three stages that each halve it.

V1: Zhang, Zhou, Lin, Sun, "ShuffleNet", CVPR 2018, arXiv 1707.01083, with 3 groups. V2: Ma, Zhang, Zheng, Sun, "ShuffleNet V2",
ECCV 2018, arXiv 1807.11164, at width 1. Both in the form of Tian et al. (CRD, ICLR 2020, arXiv 1910.10699). Parameter names are
those of the RepDistiller release, so its checkpoints load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.models.building_blocks import ChannelShuffle, GlobalPool, conv, stack
from kdzoo.models.tap_names import StageTaps, name_taps

STEM = 24


class UnitV1(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1. At stride 2 the pooled input is appended, else it is added."""

    def __init__(self, wide_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.halves = stride == 2
        out = width - wide_in if self.halves else width
        inner, groups = out // 4, 1 if wide_in == STEM else 3
        self.conv1, self.bn1, self.relu1 = conv(wide_in, inner, 1, groups=groups), nn.BatchNorm2d(inner), nn.ReLU()
        self.shuffle1 = ChannelShuffle(groups)
        self.conv2, self.bn2, self.relu2 = conv(inner, inner, stride=stride, groups=inner), nn.BatchNorm2d(inner), nn.ReLU()
        self.conv3, self.bn3, self.relu3 = conv(inner, out, 1, groups=3), nn.BatchNorm2d(out), nn.ReLU()
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.shuffle1(self.relu1(self.bn1(self.conv1(x))))
        h = self.relu2(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(h))
        return self.relu3(torch.cat([h, self.pool(x)], dim=1) if self.halves else h + x)


class ShuffleV1(nn.Module):
    """ShuffleNet V1 with 3 groups: 949,258 parameters at 100 classes."""

    def __init__(self, *, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(channels, STEM, 1), nn.BatchNorm2d(STEM), nn.ReLU()
        self.layer1 = stack(UnitV1, depth=4, wide_in=STEM, width=240, stride=2)
        self.layer2 = stack(UnitV1, depth=8, wide_in=240, width=480, stride=2)
        self.layer3 = stack(UnitV1, depth=4, wide_in=480, width=960, stride=2)
        self.pool = GlobalPool()
        self.linear = nn.Linear(960, classes)
        stages = [StageTaps(f"layer{n}", f"layer{n}.{last}.relu3:input") for n, last in ((1, 3), (2, 7), (3, 3))]
        name_taps(self, stem="relu", stages=stages, pooled="pool", classifier="linear")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.pool(x))


class DownUnitV2(nn.Module):
    """Two branches at stride 2, each half as wide as the output."""

    def __init__(self, wide_in: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1, self.bn1 = conv(wide_in, wide_in, stride=2, groups=wide_in), nn.BatchNorm2d(wide_in)
        self.conv2, self.bn2, self.relu2 = conv(wide_in, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.conv3, self.bn3, self.relu3 = conv(wide_in, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.conv4, self.bn4 = conv(half, half, stride=2, groups=half), nn.BatchNorm2d(half)
        self.conv5, self.bn5, self.relu5 = conv(half, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        left = self.relu2(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.bn4(self.conv4(self.relu3(self.bn3(self.conv3(x)))))
        right = self.relu5(self.bn5(self.conv5(right)))
        return self.shuffle(torch.cat([left, right], dim=1))


class UnitV2(nn.Module):
    """Half of the channels pass, the other half is transformed; the tap `relu3:input` has them in this order, unshuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1, self.bn1, self.relu1 = conv(half, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.conv2, self.bn2 = conv(half, half, groups=half), nn.BatchNorm2d(half)
        self.conv3, self.bn3, self.relu3 = conv(half, half, 1), nn.BatchNorm2d(half), nn.ReLU()
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        passed, h = x.chunk(2, dim=1)
        h = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(h)))))
        # The passed half comes out of a ReLU already, so that a second one changes neither it nor its gradient.
        return self.shuffle(self.relu3(torch.cat([passed, self.bn3(self.conv3(h))], dim=1)))


class ShuffleV2(nn.Module):
    """ShuffleNet V2 at width 1: 1,355,528 parameters at 100 classes."""

    def __init__(self, *, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(channels, STEM, 1), nn.BatchNorm2d(STEM), nn.ReLU()
        self.layer1 = nn.Sequential(DownUnitV2(STEM, 116), *(UnitV2(116) for _ in range(3)))
        self.layer2 = nn.Sequential(DownUnitV2(116, 232), *(UnitV2(232) for _ in range(7)))
        self.layer3 = nn.Sequential(DownUnitV2(232, 464), *(UnitV2(464) for _ in range(3)))
        self.conv2, self.bn2, self.relu2 = conv(464, 1024, 1), nn.BatchNorm2d(1024), nn.ReLU()
        self.pool = GlobalPool()
        self.linear = nn.Linear(1024, classes)
        stages = [StageTaps(f"layer{n}", f"layer{n}.{last}.relu3:input") for n, last in ((1, 3), (2, 7), (3, 3))]
        name_taps(self, stem="relu", stages=stages, pooled="pool", classifier="linear", classified="relu2")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.pool(self.relu2(self.bn2(self.conv2(x)))))
