"""Attention maps: where in the image a layer is active, whatever its channels mean.

Zagoruyko, Komodakis, "Paying More Attention to Attention", ICLR 2017, arXiv 1612.03928.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.features import same_size, unit, unit_gap
from kdzoo.functional.float32 import in_float32


def attention_map(features: Tensor, *, power: float = 2.0) -> Tensor:
    """Unit attention map `Q = vec(mean_c |F_c|^p) / ||.||_2`: (B, C, H, W) -> (B, H*W). p = 2 is the paper's choice."""
    # Squaring has the second derivative at zero that the absolute value lacks.
    energy = features.square() if power == 2 else features.abs().pow(power)
    return unit(energy.mean(1).flatten(1), 1)


@in_float32
def attention_transfer(student: Tensor, teacher: Tensor, *, power: float = 2.0) -> Tensor:
    """Mean over batch and positions of `(Q_s - Q_t)^2` for maps (B, C, H, W); channels may differ.

    The mean over positions, as in the authors' code and RepDistiller, is why the usual weight is 1000.

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> round(attention_transfer(maps, 3 * maps).item(), 4)  # attention has no scale
    0.0
    """
    student, teacher = same_size(student, teacher)
    return (attention_map(student, power=power) - attention_map(teacher, power=power)).square().mean()


@in_float32
def attention_transfer_norm(student: Tensor, teacher: Tensor, *, power: float = 2.0) -> Tensor:
    """The paper's equation 2 without its 1/2: mean over the batch of the distance `||Q_s - Q_t||_2`, not squared.

    >>> maps = torch.arange(32.0).reshape(2, 4, 2, 2)
    >>> round(attention_transfer_norm(maps, maps).item(), 4)
    0.0
    """
    student, teacher = same_size(student, teacher)
    return unit_gap(attention_map(student, power=power), attention_map(teacher, power=power))
