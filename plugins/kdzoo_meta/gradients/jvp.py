"""Forward-mode differentiation: a function's values, and how they change along a direction, in one pass and without a graph.

Dual numbers go through the ordinary modules; no second-order rule of any operator is needed. Fused attention kernels have no
forward mode (torch's flash kernel on CPU says so), hence the plain one inside; every other pass keeps the fast kernel.

Do not differentiate the tangents again: torch's rules for BatchNorm and LayerNorm take their statistics for constants, so such
a gradient is silently wrong. The tangent of a gradient, forward over reverse, is right.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from kdzoo_meta.gradients.vectors import Vector, floats, with_floats

T = TypeVar("T")


def jvp(function: Callable[[Vector], T], at: Vector, along: Vector) -> tuple[T, list[Tensor | None]]:
    """The answer at `at`, and for each of its `floats` the derivative along `along` (None: it does not depend on `at`).

    Raises:
        NotImplementedError: an operator has no forward mode.
    """
    with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.script`")  # torch's own rules are written in it
        answer = function({name: forward_ad.make_dual(p, along[name]) for name, p in at.items()})
        pairs = [forward_ad.unpack_dual(value) for value in floats(answer)]
        return with_floats(answer, [pair.primal for pair in pairs]), [pair.tangent for pair in pairs]
