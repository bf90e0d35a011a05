"""Losses compute in float32, whatever precision the models run in.

A softened softmax over a hundred classes, or a norm over a feature map, loses its small entries in half precision, and
some losses overflow there. So half-precision arguments are cast up and autocast is off inside the loss; float32 and
float64 pass through untouched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

DEVICES = [device for device in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(device)]
HALF = (torch.float16, torch.bfloat16)
P = ParamSpec("P")
R = TypeVar("R")


def in_float32(loss: Callable[P, R]) -> Callable[P, R]:
    """Decorate a loss: half and bfloat16 tensors arrive as float32, and autocast is off while it runs.

    Tensors inside lists, tuples and dicts are found too. The cast is an ordinary operation, so gradients come back in
    the precision of the argument, to any order.
    """

    @functools.wraps(loss)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        casting = [device for device in DEVICES if torch.is_autocast_enabled(device)]
        if not casting and not any(map(_may_hold_half, (*args, *kwargs.values()))):
            return loss(*args, **kwargs)
        with ExitStack() as off:
            for device in casting:
                off.enter_context(torch.autocast(device, enabled=False))
            return loss(*_raise(args), **_raise(kwargs))

    return computed


def _may_hold_half(value: Any) -> bool:
    """Whether there is anything to cast, or a container to look into."""
    return value.dtype in HALF if isinstance(value, Tensor) else type(value) in (list, tuple, dict)


def _raise(value: Any) -> Any:
    """The same nest of containers with every half-precision tensor as float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALF else value
    if type(value) in (list, tuple):
        return type(value)(_raise(item) for item in value)
    if type(value) is dict:
        return {key: _raise(item) for key, item in value.items()}
    return value
