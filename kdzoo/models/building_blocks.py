"""Pieces that the convolutional families share.

No ReLU here works in place: a feature that is tapped before it would be overwritten.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from kdzoo.ranges import at_least_and_below


def conv(wide_in: int, wide_out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1."""
    return nn.Conv2d(wide_in, wide_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)


def conv_bn_relu(
    wide_in: int, wide_out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
    """The usual three layers, to be put into a Sequential."""
    return conv(wide_in, wide_out, kernel, stride=stride, groups=groups), nn.BatchNorm2d(wide_out), nn.ReLU()


def stack(block: Callable[[int, int, int], nn.Module], *, depth: int, wide_in: int, width: int, stride: int) -> nn.Sequential:
    """`depth` blocks `block(wide_in, wide_out, stride)`, of which the first changes the width and the size."""
    return nn.Sequential(block(wide_in, width, stride), *(block(width, width, 1) for _ in range(depth - 1)))


def drop(rate: float) -> nn.Dropout:
    """Dropout at `rate`; ValueError unless 0 <= rate < 1."""
    at_least_and_below(0, 1, dropout=rate)
    return nn.Dropout(rate)


class GlobalPool(nn.Module):
    """The mean over all positions, (B, C, H, W) -> (B, C), for maps of any size."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class ChannelShuffle(nn.Module):
    """Interleave the channels of `groups` groups, so that the next grouped convolution mixes them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, breadth = x.shape
        return x.view(batch, self.groups, -1, height, breadth).transpose(1, 2).reshape(batch, width, height, breadth)


def kaiming_convolutions(net: nn.Module) -> None:
    """He initialization by fan-out for every convolution, biases zero (He et al., ICCV 2015, arXiv 1502.01852)."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def small_classifiers(net: nn.Module) -> None:
    """Linear layers start with weights N(0, 0.01²) and biases zero, as in the VGG and MobileNetV2 families."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
