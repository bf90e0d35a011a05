"""Lipschitz constants: spectral norms by power iteration, transmitting matrices, and upper bounds of layers.

A spectral norm is a layer's Lipschitz constant in the Euclidean norm. Where only a module's input and output are at hand,
`kdzoo.functional.flow.flow_matrix` of the two maps (the transmitting matrix) stands for the module.
Shang, Duan, Zong, Nie, Yan, "Lipschitz Continuity Guided Knowledge Distillation", ICCV 2021, arXiv 2108.12905.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdzoo.functional.features import FLOOR, gram, length, unit
from kdzoo.functional.float32 import in_float32

MOST_STEPS = 200
TOLERANCE = 1e-8
SMALL = 8
"""Rows or columns below which a linear map is written out as a matrix."""
LOOK_EVERY = 10
"""Steps between two looks at the change: on a GPU each look makes the host wait."""


@in_float32
def power_iteration(matrix: Tensor, start: Tensor, *, steps: int = 10) -> tuple[Tensor, Tensor]:
    """Estimates (B,) of the spectral norms of (B, n, m) after `steps`, and the vectors (B, n); differentiable through all.

    `start`: (n,) or (B, n), used at the length that it has: an estimate after one step is inflated by the square root of it,
    later ones are not. Each step is `v <- G v / |G v|` with `G = matrix matrix^T`; the estimate is the root of the last
    `|G v| / |v|`. A zero matrix gives a finite estimate near 0 and gradient 0.
    """
    product = gram(matrix)
    vector = start.to(matrix).expand(matrix.shape[0], -1)
    grown = length(vector)
    for _ in range(steps):
        moved = (product @ vector.unsqueeze(2)).squeeze(2)
        grown = length(moved)
        vector = moved / grown.unsqueeze(1)
    # The reference divides by the length of the new vector, which is 1.
    return grown.clamp_min(FLOOR).sqrt(), vector


@in_float32
def spectral_norm(
    matrix: Tensor, start: Tensor, *, most: int = MOST_STEPS, tolerance: float = TOLERANCE
) -> tuple[Tensor, Tensor]:
    """Spectral norms (B,) of (B, n, m) with their exact gradient `u v^T`, and the left singular vectors (B, n), detached.

    The vector is iterated from `start` ((n,) or (B, n)) in double precision without a graph, until no vector changes by
    more than `tolerance` of its length, at most `most` steps; then the norm is `|matrix^T v|`.
    """
    vector = leading_vector(matrix, start, most=most, tolerance=tolerance).to(matrix)
    return length((matrix.transpose(1, 2) @ vector.unsqueeze(2)).squeeze(2)), vector


@torch.no_grad()
def leading_vector(matrix: Tensor, start: Tensor, *, most: int = MOST_STEPS, tolerance: float = TOLERANCE) -> Tensor:
    """The left singular vectors (B, n) of the largest singular values, in double precision; see `spectral_norm`."""
    product = gram(matrix.detach().double())
    vector = unit(start.to(product).expand(matrix.shape[0], -1))
    rows = torch.arange(len(vector), device=vector.device)  # those that still move; the others are not multiplied any more
    for done in range(0, most, LOOK_EVERY):
        found, change = _iterated(product, vector[rows], min(LOOK_EVERY, most - done))
        vector = vector.index_copy(0, rows, found)
        moving = change > tolerance
        rows, product = rows[moving], product[moving]
        if not len(rows):
            break
    return vector


def _iterated(product: Tensor, vector: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """`steps` steps of the iteration, and by how much the last one changed each vector; zero matrices keep theirs."""
    before = vector
    for _ in range(steps):
        moved = (product @ vector.unsqueeze(2)).squeeze(2)
        now = length(moved, keepdim=True)
        before, vector = vector, torch.where(now > FLOOR, moved / now, vector)
    return vector, length(vector - before)


def module_gap(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Squared differences of spectral norms (B,) per module, mean over the batch; module i of n counts `2^(i - n)`."""
    total = student[0].new_zeros(())
    for ours, theirs in zip(student, teacher, strict=True):
        total = (total + (ours - theirs).square().mean()) / 2
    return total


# -- bounds of layers --------------------------------------------------------------------------------------------------


def linear_bound(weight: Tensor) -> Tensor:
    """The Lipschitz constant of `x -> W x + b`: the spectral norm of W."""
    return torch.linalg.matrix_norm(weight, ord=2)


def reshaped_kernel_norm(weight: Tensor, *, groups: int = 1) -> Tensor:
    """Spectral norm of a kernel (C_out, C_in / groups, ...) as a matrix (C_out, everything else), the largest of the groups.

    Often used for a convolution's Lipschitz constant; neither that nor a bound of it. See `convolution_bound`.
    """
    return torch.linalg.matrix_norm(weight.flatten(1).unflatten(0, (groups, -1)), ord=2).max()


def convolution_bound(layer: nn.Conv2d) -> Tensor:
    """An upper bound: the norm of the reshaped kernel times the root of how many windows an input position can be in."""
    if layer.padding_mode != "zeros":
        raise ValueError(f"padding_mode must be 'zeros', got {layer.padding_mode!r}: the bound holds for padding by zeros only")
    dilated = any(step != 1 for step in layer.dilation)
    strides = (1, 1) if dilated else layer.stride
    windows = math.prod(-(-size // step) for size, step in zip(layer.kernel_size, strides, strict=True))
    return reshaped_kernel_norm(layer.weight, groups=layer.groups) * math.sqrt(windows)


@torch.no_grad()
def convolution_norm(
    layer: nn.Conv2d, size: tuple[int, int], *, most: int = 1000, tolerance: float = TOLERANCE, seed: int = 0
) -> Tensor:
    """The spectral norm of the convolution as a linear map of (C_in, *size), in double precision, by Lanczos' iteration.

    Args: most: restarts of the iteration. tolerance: relative accuracy. seed: of the vector that it starts from.

    Raises ValueError: padding by other than zeros; RuntimeError: no convergence after `most` restarts.
    """
    from scipy.sparse.linalg import LinearOperator, svds  # takes a while, and only bounds need it

    weight = layer.weight.detach().double()
    shape = (1, layer.in_channels, *size)
    like = weight.new_zeros(shape)
    there = _convolved(layer, weight, like)

    def forward(vector: Any) -> Any:
        return _convolved(layer, weight, torch.from_numpy(vector.reshape(shape)).to(weight)).flatten().cpu().numpy()

    def back(image: Any) -> Any:
        found = _transposed(layer, weight, torch.from_numpy(image.reshape(there.shape)).to(weight), like)
        return found.flatten().cpu().numpy()

    operator = LinearOperator((there.numel(), like.numel()), forward, back, dtype=np.float64)
    smaller = min(operator.shape)
    if not weight.any():
        norm: Any = 0.0
    elif smaller < SMALL:
        norm = np.linalg.norm(operator @ np.eye(operator.shape[1]), ord=2)
    else:
        start = np.random.default_rng(seed).standard_normal(smaller)
        (norm,) = svds(operator, k=1, tol=tolerance, maxiter=most, v0=start, return_singular_vectors=False)
    return torch.tensor(norm).to(layer.weight)


def batch_norm_bound(layer: nn.BatchNorm2d | nn.BatchNorm1d) -> Tensor:
    """The Lipschitz constant in eval mode: the largest scale of a channel, over its running deviation."""
    if layer.running_var is None:
        raise ValueError("layer must keep running statistics, got track_running_stats=False: its scale depends on the batch")
    scale = torch.ones_like(layer.running_var) if layer.weight is None else layer.weight
    return (scale.abs() / (layer.running_var + layer.eps).sqrt()).max()


def chain_bound(bounds: Sequence[Tensor]) -> Tensor:
    """Of layers one after the other: the product. Rectifiers and average pooling have 1 and may be left out."""
    return torch.stack(list(bounds)).prod()


def residual_bound(branch: Tensor, shortcut: Tensor | float = 1.0) -> Tensor:
    """Of `x -> branch(x) + shortcut(x)`: the sum; 1 for an identity shortcut."""
    return branch + shortcut


def _convolved(layer: nn.Conv2d, weight: Tensor, x: Tensor) -> Tensor:
    if layer.padding_mode != "zeros":
        raise ValueError(f"padding_mode must be 'zeros', got {layer.padding_mode!r}: the transpose is known for zeros only")
    return F.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def _transposed(layer: nn.Conv2d, weight: Tensor, image: Tensor, like: Tensor) -> Tensor:
    """The adjoint of the convolution, from the backward pass of its input."""
    with torch.enable_grad():
        given = torch.zeros_like(like, requires_grad=True)
        (found,) = torch.autograd.grad(_convolved(layer, weight, given), given, image)
    return found
