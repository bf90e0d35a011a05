"""Losses compute in float32, whatever precision the models run in.

A softened softmax over a hundred classes, or a norm over a feature map, loses its small entries in half precision, and
some losses overflow there. So half-precision arguments are cast up and autocast is off inside the loss; float32 and
float64 pass through untouched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(loss: Callable[P, R]) -> Callable[P, R]:
    """Decorate a loss: half and bfloat16 tensors arrive as float32, and autocast is off while it runs.

    Tensors inside lists, tuples and dicts are found too. The cast is an ordinary operation, so gradients come back in
    the precision of the argument, to any order.
    """

    @functools.wraps(loss)
    def computed(*args: P.args, **kwargs: P.kwargs) -> R:
        device = _device((args, kwargs))
        if device is None or not torch.is_autocast_enabled(device):
            return loss(*_raise(args), **_raise(kwargs))
        with torch.autocast(device, enabled=False):
            return loss(*_raise(args), **_raise(kwargs))

    return computed


def _raise(value: Any) -> Any:
    """The same nest of containers with every half-precision tensor as float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if type(value) in (list, tuple):
        return type(value)(_raise(item) for item in value)
    if type(value) is dict:
        return {key: _raise(item) for key, item in value.items()}
    return value


def _device(value: Any) -> str | None:
    """The device type of the first tensor found; None where there is no tensor or its device knows no autocast."""
    if isinstance(value, Tensor):
        return value.device.type if torch.amp.is_autocast_available(value.device.type) else None
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return next((found for item in items if (found := _device(item)) is not None), None)
