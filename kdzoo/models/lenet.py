"""LeNet-5 with ReLU and max pooling (LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 1998), as knowledge distillation uses it on gray images.

On one channel of 28 x 28: 61,706 parameters; with half the maps ("LeNet-5-half") 35,820.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdzoo.models.tap_names import StageTaps, name_taps
from kdzoo.ranges import at_least


class LeNet5(nn.Module):
    """Two 5x5 convolutions (the first keeps the size), each with ReLU and 2x2 max pooling; then 120, 84, and the classes.

    Args:
        maps: of both convolutions; [3, 8] is LeNet-5-half.
    """

    def __init__(self, *, classes: int, channels: int = 1, size: int = 28, maps: Sequence[int] = (6, 16)) -> None:
        super().__init__()
        at_least(1, maps=maps)
        if len(maps) != 2:
            raise ValueError(f"maps must be two numbers, of the first and the second convolution, got {list(maps)}")
        edge = (size // 2 - 4) // 2
        if edge < 1:
            raise ValueError(f"size must be at least 12, or nothing is left of an image after both poolings, got {size}")
        first, second = maps
        self.body = nn.Sequential(
            nn.Sequential(nn.Conv2d(channels, first, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential(nn.Linear(second * edge * edge, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU())
        self.fc = nn.Linear(84, classes)
        stages = [StageTaps(f"body.{n}", f"body.{n}.0") for n in range(2)]
        name_taps(self, stem=None, stages=stages, pooled="hidden", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.hidden(self.flatten(self.body(x))))
