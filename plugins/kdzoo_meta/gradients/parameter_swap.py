"""A network that is, for the length of a block, another one: other parameters, or another mode. Afterwards it is as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import nn
from torch.func import functional_call

from kdzoo_meta.gradients.vectors import Vector

R = TypeVar("R")


def held(module: nn.Module, params: Vector, passes: Callable[[], R]) -> R:
    """Call `passes`, forward and backward, while `module` has these parameters and clones of its buffers.

    A forward with substituted parameters is not enough: activation checkpointing runs the forward again on the way back.
    """
    own = dict(params) | {name: b.clone() for name, b in module.named_buffers()}
    return functional_call(_Held(module), {f"module.{n}": t for n, t in own.items()}, (passes,))  # type: ignore[no-any-return]


class _Held(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, passes: Callable[[], R]) -> R:
        return passes()


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Put a module in eval mode for a block; every part of it gets its own mode back."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, was in modes:
            m.training = was
