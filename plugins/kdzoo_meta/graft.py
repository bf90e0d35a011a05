"""A network whose first part is replaced by somebody else's features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.models.tap_names import resolve


class Graft(nn.Module):
    """The part of a network after a tap, fed with features from elsewhere.

    The tap's output is replaced while the network runs on two samples of the input, so that any network with that tap will
    do and what comes before it costs next to nothing. Its parameters before the tap get no gradient.

    Args:
        network: a module of this graft's own.
        tap: whose output is replaced, a map (B, C, H, W).
        channels: of the features; a 1x1 convolution, BatchNorm and ReLU bring them to the tap's width.
        shape: the tap's own (C, H, W); features of another size are pooled or repeated to it.
    """

    def __init__(self, network: nn.Module, tap: str, *, channels: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.network, self.size = network, shape[1:]
        self.path = resolve(network, tap).path
        self.fit = nn.Sequential(nn.Conv2d(channels, shape[0], 1, bias=False), nn.BatchNorm2d(shape[0]), nn.ReLU())

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Logits (B, classes) for features (B, channels, H, W) of the inputs `x`."""
        fitted: Tensor = self.fit(features)
        if fitted.shape[-2:] != self.size:
            fitted = nn.functional.adaptive_avg_pool2d(fitted, self.size)

        def replaced(_: nn.Module, __: Any, ___: Any) -> Tensor:
            return fitted

        hook = self.network.get_submodule(self.path).register_forward_hook(replaced)
        try:
            return self.network(x[:2])  # type: ignore[no-any-return]
        finally:
            hook.remove()


@torch.no_grad()
def shape_at(network: nn.Module, tap: str, example: Tensor) -> tuple[int, ...]:
    """Shape without the batch of the map at a tap."""
    path = resolve(network, tap).path
    shapes: list[tuple[int, ...]] = []
    hook = network.get_submodule(path).register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    was = network.training
    try:
        network.eval()(example)
    finally:
        hook.remove()
        network.train(was)
    return shapes[-1]
