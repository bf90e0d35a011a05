"""MobileNets: V1 as the ImageNet tables use it, V2 at half width for small images.

V1: Howard et al., "MobileNets", arXiv 1704.04861. V2: Sandler et al., "MobileNetV2", CVPR 2018, arXiv 1801.04381, with the
strides and the expansion factor 6 of Tian et al. (CRD, ICLR 2020). The stages of V2 end in linear bottlenecks, which have no
ReLU: `stageN.preact` is `stageN`. Parameter names are those of mdistiller (V1) and RepDistiller (V2), so they load.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from kdzoo.models.building_blocks import GlobalPool, conv, conv_bn_relu, kaiming_convolutions, small_classifiers, stack
from kdzoo.models.tap_names import StageTaps, name_taps

# (width, stride) of the depthwise-separable blocks of V1, and (expansion, width, blocks, stride) of the stages of V2.
SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
INVERTED = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV1(nn.Module):
    """Depthwise-separable convolutions: 4,231,976 parameters at 1000 classes. Five halvings: meant for 224-pixel images."""

    def __init__(self, *, classes: int, channels: int = 3) -> None:
        super().__init__()
        blocks, wide_in = [nn.Sequential(*conv_bn_relu(channels, 32, stride=2))], 32
        for width, stride in SEPARABLE:
            depthwise = conv_bn_relu(wide_in, wide_in, stride=stride, groups=wide_in)
            blocks.append(nn.Sequential(*depthwise, *conv_bn_relu(wide_in, width, 1)))
            wide_in = width
        self.model = nn.Sequential(*blocks)
        self.pool = GlobalPool()
        self.fc = nn.Linear(wide_in, classes)
        stages = [StageTaps(f"model.{n}", f"model.{n}.5:input", f"model.{n}.4") for n in (3, 5, 11, 13)]
        name_taps(self, stem="model.0", stages=stages, pooled="pool", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.model(x)))


class InvertedResidual(nn.Module):
    """Widen by `expansion`, filter depthwise, project linearly; residual where input and output match."""

    def __init__(self, wide_in: int, width: int, stride: int, *, expansion: int) -> None:
        super().__init__()
        inner = wide_in * expansion
        self.residual = stride == 1 and wide_in == width
        self.conv = nn.Sequential(
            *conv_bn_relu(wide_in, inner, 1),
            *conv_bn_relu(inner, inner, stride=stride, groups=inner),
            conv(inner, width, 1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2Half(nn.Module):
    """MobileNetV2 at half width with expansion 6: 812,836 parameters at 100 classes."""

    def __init__(self, *, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*conv_bn_relu(channels, 16, stride=2))
        self.blocks, wide_in = nn.Sequential(), 16
        for expansion, full, depth, stride in INVERTED:
            block = partial(InvertedResidual, expansion=expansion)
            self.blocks.append(stack(block, depth=depth, wide_in=wide_in, width=full // 2, stride=stride))
            wide_in = full // 2
        self.conv2 = nn.Sequential(*conv_bn_relu(wide_in, 1280, 1))
        self.pool = GlobalPool()
        self.classifier = nn.Sequential(nn.Linear(1280, classes))
        kaiming_convolutions(self)
        small_classifiers(self)
        ends = {n: f"blocks.{n}" for n in (1, 2, 4, 6)}
        stages = [StageTaps(path, path, f"{path}.{INVERTED[n][2] - 1}.conv.7") for n, path in ends.items()]
        name_taps(self, stem="conv1", stages=stages, pooled="pool", classifier="classifier.0", classified="conv2")

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.blocks(self.conv1(x)))
        return self.classifier(self.pool(x))
