"""Small networks: a linear classifier, a multilayer perceptron, and a stack of stride-2 convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from kdzoo.models.building_blocks import GlobalPool, conv_bn_relu, drop, kaiming_convolutions
from kdzoo.models.tap_names import StageTaps, name_taps
from kdzoo.ranges import at_least


def _some(widths: Sequence[int], name: str) -> None:
    at_least(1, **{name: widths})
    if not widths:
        raise ValueError(f"{name} must name at least one width, got []; give e.g. {name}: [64]")


class LinearNet(nn.Module):
    """Softmax regression on the pixels: one linear layer. `pooled` is the flattened image."""

    def __init__(self, *, classes: int, channels: int = 3, size: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels * size * size, classes)
        name_taps(self, stem=None, stages=[], pooled="flatten", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(x))


class MLP(nn.Module):
    """Linear, ReLU and dropout per hidden layer. The stages are vectors (B, width); `pooled` is the last, after dropout."""

    def __init__(
        self, *, classes: int, channels: int = 3, size: int, hidden: Sequence[int] = (64,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        _some(hidden, "hidden")
        widths = [channels * size * size, *hidden]
        self.flatten = nn.Flatten()
        self.body = nn.Sequential(*(nn.Sequential(nn.Linear(a, b), nn.ReLU(), drop(dropout)) for a, b in pairwise(widths)))
        self.fc = nn.Linear(widths[-1], classes)
        stages = [StageTaps(f"body.{n}.1", f"body.{n}.0") for n in range(len(hidden))]
        name_taps(self, stem=None, stages=stages, pooled="body", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(self.flatten(x)))


class TinyCNN(nn.Module):
    """Per width one 3x3 convolution at stride 2, BatchNorm and ReLU; then the mean over positions and a linear layer.

    A few thousand parameters at the default widths; fit for CPU. Works at any size: a 1x1 map stays 1x1.
    """

    def __init__(self, *, classes: int, channels: int = 3, widths: Sequence[int] = (8, 16, 32), dropout: float = 0.0) -> None:
        super().__init__()
        _some(widths, "widths")
        sizes = [channels, *widths]
        self.body = nn.Sequential(*(nn.Sequential(*conv_bn_relu(a, b, stride=2)) for a, b in pairwise(sizes)))
        self.pool = nn.Sequential(GlobalPool(), drop(dropout))
        self.fc = nn.Linear(sizes[-1], classes)
        kaiming_convolutions(self)
        stages = [StageTaps(f"body.{n}", f"body.{n}.2:input", f"body.{n}.1") for n in range(len(widths))]
        name_taps(self, stem=None, stages=stages, pooled="pool", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.body(x)))
