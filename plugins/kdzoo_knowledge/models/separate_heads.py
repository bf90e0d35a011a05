"""A network of its own for each head, so that heads agree only if they learn to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdzoo.protocol.task import Model


class SeparateHeads(nn.Module):
    """`body` once for each head; the logits (B, all classes) are those of the heads in order. Args: body: any classifier."""

    def __init__(
        self, *, body: Model, classes: int, head_widths: Sequence[int] = (), channels: int = 3, size: int = 32
    ) -> None:
        super().__init__()
        widths = head_widths or [classes]
        self.heads = nn.ModuleList(body(classes=width, channels=channels, size=size) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([head(x) for head in self.heads], 1)
