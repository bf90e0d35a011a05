"""ResNet-50 with a stem for small images (3x3, stride 1, no max-pooling): the "ResNet50" of the CIFAR-100 tables.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385. Parameter names are those of
the RepDistiller release, so its checkpoints load.
"""

from __future__ import annotations

from torch import Tensor, nn

from kdzoo.models.building_blocks import GlobalPool, conv, kaiming_convolutions, stack
from kdzoo.models.tap_names import StageTaps, name_taps


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the inner ones a quarter as wide, and a shortcut."""

    def __init__(self, wide_in: int, width: int, stride: int) -> None:
        super().__init__()
        inner = width // 4
        self.conv1, self.bn1, self.relu1 = conv(wide_in, inner, 1), nn.BatchNorm2d(inner), nn.ReLU()
        self.conv2, self.bn2, self.relu2 = conv(inner, inner, stride=stride), nn.BatchNorm2d(inner), nn.ReLU()
        self.conv3, self.bn3, self.relu3 = conv(inner, width, 1), nn.BatchNorm2d(width), nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or wide_in != width:
            self.shortcut = nn.Sequential(conv(wide_in, width, 1, stride=stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu1(self.bn1(self.conv1(x)))
        h = self.relu2(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(h)) + self.shortcut(x)
        return self.relu3(h)


class CifarResNet50(nn.Module):
    """Four stages of 3, 4, 6 and 3 bottleneck blocks: 23,705,252 parameters at 100 classes."""

    def __init__(self, *, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(channels, 64), nn.BatchNorm2d(64), nn.ReLU()
        self.layer1 = stack(Bottleneck, depth=3, wide_in=64, width=256, stride=1)
        self.layer2 = stack(Bottleneck, depth=4, wide_in=256, width=512, stride=2)
        self.layer3 = stack(Bottleneck, depth=6, wide_in=512, width=1024, stride=2)
        self.layer4 = stack(Bottleneck, depth=3, wide_in=1024, width=2048, stride=2)
        self.pool = GlobalPool()
        self.linear = nn.Linear(2048, classes)
        kaiming_convolutions(self)
        last = ("layer1.2", "layer2.3", "layer3.5", "layer4.2")
        stages = [StageTaps(f"layer{n}", f"{block}.relu3:input", f"{block}.bn3") for n, block in enumerate(last, start=1)]
        name_taps(self, stem="relu", stages=stages, pooled="pool", classifier="linear")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(self.pool(x))
