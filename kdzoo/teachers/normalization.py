"""A teacher that was trained on inputs with another mean and standard deviation than the task's: it gets them as it knows them.

As in timm, whose models carry their own: x = (pixel - m) / s becomes (x s + m - m_t) / s_t, per channel, whenever it is called.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError, RecipeError


def check(mean: Sequence[float] | None, sd: Sequence[float] | None) -> None:
    """Raises ValueError where only one is given, or they are no mean and standard deviation."""
    if (mean is None) != (sd is None):
        raise ValueError("mean and sd belong together: give both, per channel and for pixels in [0, 1], or none")
    if not all(map(math.isfinite, (*(mean or ()), *(sd or ())))) or not all(value > 0 for value in sd or ()):
        raise ValueError(f"mean must be finite and sd finite and above 0, got {list(mean or ())} and {list(sd or ())}")


class Renormalize:
    """A hook before a forward that brings its first argument from one mean and standard deviation to another."""

    def __init__(self, given: Mapping[str, Any], mean: Sequence[float], sd: Sequence[float]) -> None:
        pairs = list(zip(given["mean"], given["std"], mean, sd, strict=True))
        self.scale = [old / new for _, old, _, new in pairs]
        self.shift = [(center - own) / new for center, _, own, new in pairs]

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        x: Tensor = inputs[0]
        scale, shift = (
            torch.tensor(values, dtype=x.dtype, device=x.device).view(-1, 1, 1) for values in (self.scale, self.shift)
        )
        return (x * scale + shift, *inputs[1:])


def renormalized(
    module: nn.Module, given: Mapping[str, Any], mean: Sequence[float], sd: Sequence[float], where: str
) -> nn.Module:
    """A copy of a module that takes the task's inputs and sees them by its own `mean` and `sd`.

    Args:
        given: the task's `preprocessing`, whose `mean` and `std` its inputs have been normalized by.
        where: the path in the recipe, for messages.
    """
    if "mean" not in given or "std" not in given:
        raise CapabilityError(
            f"{where}.mean and sd are for tasks that normalize their inputs by a mean and sd; leave them out."
        )
    channels = len(given["mean"])
    if not len(mean) == len(sd) == channels:
        raise RecipeError(
            f"{where}.mean has {len(mean)} and sd {len(sd)} values for images of {channels} channels: give one of each per "
            "channel."
        )
    module = copy.deepcopy(module)  # a user's own module stays as it is
    module.register_forward_pre_hook(Renormalize(given, mean, sd))
    return module


def words(values: Sequence[float]) -> str:
    """A mean or standard deviation as one reads it."""
    return ", ".join(f"{value:.4g}" for value in values)
