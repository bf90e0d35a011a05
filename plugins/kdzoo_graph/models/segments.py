"""Sums over the edges of a graph, in time O(E d) and memory O(n d + E): no (E, d) tensor is ever made.

Shapes: n nodes, E edges `row` <- `col` (int64), d columns. The edges are walked in chunks of at most `CHUNK` numbers. Backward
passes walk them again instead of keeping anything, and are made of the same two functions, so they hold to any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from kdzoo.functional.float32 import in_float32

CHUNK = 2**22
"""Numbers gathered at a time."""


@in_float32
def segment_softmax(logits: Tensor, row: Tensor, rows: int) -> Tensor:
    """Softmax of edge logits (E,) over the edges of each row: (E,), summing to one in every row that has an edge."""
    highest = logits.new_full((rows,), -torch.inf).scatter_reduce(0, row, logits.detach(), "amax")
    weight = (logits - highest[row]).exp()
    total = weight.new_zeros(rows).index_add(0, row, weight)
    return weight / total[row]


@in_float32
def aggregate(weight: Tensor, values: Tensor, row: Tensor, col: Tensor, *, rows: int) -> Tensor:
    """`out_i = sum over edges e with row_e = i of weight_e values_(col_e)`: (E,), (m, d) -> (rows, d); 0 without an edge."""
    out: Tensor = _Aggregate.apply(weight, values, row, col, rows)
    return out


@in_float32
def edge_dots(left: Tensor, right: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """`left_(row_e) . right_(col_e)` for every edge: (n, d), (m, d) -> (E,)."""
    out: Tensor = _EdgeDots.apply(left, right, row, col)
    return out


def _chunks(row: Tensor, col: Tensor, width: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    step = max(1, CHUNK // max(width, 1))
    for start in range(0, len(row), step):
        part = slice(start, start + step)
        yield part, row[part], col[part]


class _Aggregate(Function):
    @staticmethod
    def forward(weight: Tensor, values: Tensor, row: Tensor, col: Tensor, rows: int) -> Tensor:
        out = values.new_zeros(rows, values.shape[1])
        for part, i, j in _chunks(row, col, values.shape[1]):
            out.index_add_(0, i, weight[part, None] * values[j])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight, values, row, col, rows = inputs
        ctx.save_for_backward(weight, values, row, col)
        ctx.save_for_forward(weight, values, row, col)
        ctx.rows = rows

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        weight, values, row, col = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        d_weight = edge_dots(grads[0], values, row, col) if wanted[0] else None
        d_values = aggregate(weight, grads[0], col, row, rows=len(values)) if wanted[1] else None
        return d_weight, d_values, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        weight, values, row, col = ctx.saved_tensors
        d_weight, d_values = tangents[:2]
        parts = [] if d_weight is None else [aggregate(d_weight, values, row, col, rows=ctx.rows)]
        parts += [] if d_values is None else [aggregate(weight, d_values, row, col, rows=ctx.rows)]
        return sum(parts[1:], parts[0])


class _EdgeDots(Function):
    @staticmethod
    def forward(left: Tensor, right: Tensor, row: Tensor, col: Tensor) -> Tensor:
        out = left.new_empty(len(row))
        for part, i, j in _chunks(row, col, left.shape[1]):
            out[part] = (left[i] * right[j]).sum(1)
        return out

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        left, right, row, col = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        d_left = aggregate(grads[0], right, row, col, rows=len(left)) if wanted[0] else None
        d_right = aggregate(grads[0], left, col, row, rows=len(right)) if wanted[1] else None
        return d_left, d_right, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        left, right, row, col = ctx.saved_tensors
        parts = [] if tangents[0] is None else [edge_dots(tangents[0], right, row, col)]
        parts += [] if tangents[1] is None else [edge_dots(left, tangents[1], row, col)]
        return sum(parts[1:], parts[0])
