"""Parameters by name as vectors, and the tensors of an answer as a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from kdzoo.protocol.outputs import map_tensors

Vector = Mapping[str, Tensor]
T = TypeVar("T")


def length(vector: Vector) -> Tensor:
    """Euclidean norm over all entries; its slope at zero is zero."""
    norms = [torch.linalg.vector_norm(v) for v in vector.values()]
    return torch.linalg.vector_norm(torch.stack(norms))  # type: ignore[no-any-return]


def inner_product(a: Vector, b: Vector) -> Tensor:
    """Sum over the names of `a` of the products of entries."""
    return torch.stack([(v * b[name]).sum() for name, v in a.items()]).sum()


def below(vector: Vector, prefix: str) -> dict[str, Tensor]:
    """The entries whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): v for name, v in vector.items() if name.startswith(prefix)}


def floats(tree: object) -> list[Tensor]:
    """The floating-point tensors in a tree of answers, in a fixed order."""
    found: list[Tensor] = []

    def visit(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            found.append(tensor)
        return tensor

    map_tensors(visit, tree)
    return found


def with_floats(tree: T, values: Sequence[Tensor]) -> T:
    """The tree with its floating-point tensors replaced, in the order of `floats`."""
    left = iter(values)
    return map_tensors(lambda t: next(left) if t.is_floating_point() else t, tree)
