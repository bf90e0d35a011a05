"""How much a network can stretch differences between two of its taps: an upper bound, from the constants of its layers.

The graph that `torch.fx` traces is followed from the first tap to the second. A layer multiplies by its Lipschitz constant, a
sum adds those of its parts, a concatenation takes the root of their squares. A convolution counts its operator norm at the size
of its input, a BatchNorm what it does in eval mode. What comes from elsewhere than the first tap is held constant.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from kdzoo.functional.lipschitz import batch_norm_bound, chain_bound, convolution_norm, linear_bound, residual_bound
from kdzoo.models.tap_names import Tap, resolve

TOLERANCE = 1e-6
"""Relative accuracy of a convolution's norm, which is made larger by as much."""
SHORTENING = (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten)
"""Layers with a constant of at most 1; dropout in eval mode. A mean, too, of however many."""
SHORTENING_FUNCTIONS: frozenset[Any] = frozenset({F.relu, torch.relu, torch.flatten, torch.tanh, torch.sigmoid, torch.mean})
SHORTENING_METHODS = frozenset({"relu", "flatten", "view", "reshape", "contiguous", "mean"})
AVERAGING = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
AVERAGING_FUNCTIONS: frozenset[Any] = frozenset({F.avg_pool2d, F.adaptive_avg_pool2d})
"""Linear maps of each channel, whose norm is computed: it is above 1 where windows overlap, or repeat their input."""
SUMS: frozenset[Any] = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})


Bounds = Mapping[fx.Node, Tensor]


class UnboundedError(Exception):
    """No bound is known; the text says why."""


@torch.no_grad()
def module_bound(model: nn.Module, first: str, second: str, feature: Tensor) -> float:
    """An upper bound of the Lipschitz constant from the tap `first` to the tap `second`, in the Euclidean norm, in eval mode.

    Args: feature: (1, ...), of the first tap; only its shape matters.

    Raises UnboundedError for a network that `torch.fx` cannot trace, and for a layer whose constant is not known.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # tracing runs the model's own code, which may do anything
        raise UnboundedError(f"{type(model).__name__} cannot be traced by torch.fx ({type(error).__name__})") from error
    start, end = (_node(graph, resolve(model, tap)) for tap in (first, second))
    layers = dict(model.named_modules())
    values: dict[fx.Node, Tensor] = {start: torch.zeros_like(feature)}
    bounds: dict[fx.Node, Tensor] = {start: torch.ones(())}
    for node in graph.nodes:
        given = any(each in bounds for each in node.all_input_nodes)
        if node in bounds or not given or node.op == "output":
            continue
        bounds[node] = _bound(node, layers, values, bounds)
        values[node] = _value(node, layers, values)
        if node is end:
            return bounds[node].item()
    raise UnboundedError(f"{second!r} does not come from {first!r} alone")


def _bound(node: fx.Node, layers: Mapping[str, nn.Module], values: Mapping[fx.Node, Tensor], bounds: Bounds) -> Tensor:
    given = [bounds[each] for each in node.all_input_nodes if each in bounds]
    if node.op == "call_module":
        return chain_bound([given[0], _constant(layers[str(node.target)], values[node.all_input_nodes[0]])])
    if node.target in SUMS:
        first, second = (_of(part, bounds) for part in node.args[:2])
        return residual_bound(abs(float(node.kwargs.get("alpha", 1))) * second, first)  # type: ignore[arg-type]
    if node.target in (torch.cat, torch.concat) and node.args:
        parts: Any = node.args[0]
        return torch.stack([_of(part, bounds) for part in parts]).square().sum().sqrt()
    if node.target in AVERAGING_FUNCTIONS:
        function: Any = node.target
        return given[0] * _averaging(lambda x: function(x, *node.args[1:], **node.kwargs), values[node.all_input_nodes[0]])
    if node.target in SHORTENING_FUNCTIONS or node.target in SHORTENING_METHODS:
        return given[0]
    raise UnboundedError(f"the constant of {_called(node.target)} is not known")


def _of(part: Any, bounds: Bounds) -> Tensor:
    """Of an operand; 0 for what does not come from the first tap."""
    return bounds.get(part, torch.zeros(()))


def _constant(layer: nn.Module, given: Tensor) -> Tensor:
    """The Lipschitz constant of a layer, or a bound of it."""
    try:
        if isinstance(layer, nn.Conv2d):
            return (1 + TOLERANCE) * convolution_norm(layer, (given.shape[2], given.shape[3]), tolerance=TOLERANCE)
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            return batch_norm_bound(layer)
    except (ValueError, RuntimeError) as error:
        raise UnboundedError(f"the constant of {type(layer).__name__} is not known: {error}") from error
    if isinstance(layer, nn.Linear):
        return linear_bound(layer.weight)
    if isinstance(layer, nn.MaxPool2d):
        steps = _pair(layer.stride) if _pair(layer.dilation) == (1, 1) else (1, 1)
        sides = [_pair(layer.kernel_size), steps]
        windows = math.prod(-(-size // step) for size, step in zip(*sides, strict=True))  # that one place can be the largest of
        return torch.tensor(float(windows)).sqrt()
    if isinstance(layer, AVERAGING):
        return _averaging(layer, given)
    if isinstance(layer, nn.LeakyReLU):
        return torch.tensor(max(1.0, abs(layer.negative_slope)))
    if isinstance(layer, SHORTENING):
        return torch.ones(())
    raise UnboundedError(f"the constant of {type(layer).__name__} is not known")


def _averaging(pool: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
    """The norm of a linear map that treats each channel (H, W) alike."""
    height, width = given.shape[-2:]
    places = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    return torch.linalg.matrix_norm(pool(places).flatten(1), ord=2).to(given)


def _value(node: fx.Node, layers: Mapping[str, nn.Module], values: Mapping[fx.Node, Tensor]) -> Tensor:
    """The node's output, for the sake of its shape."""
    if node.target in SUMS:
        return next(values[each] for each in node.all_input_nodes if each in values)
    if any(each not in values for each in node.all_input_nodes):
        raise UnboundedError(f"{_called(node.target)} mixes in what does not come from the first tap")
    args: Any = fx.map_arg(node.args, values.__getitem__)
    kwargs: Any = fx.map_arg(node.kwargs, values.__getitem__)
    target: Any = layers[node.target] if node.op == "call_module" and isinstance(node.target, str) else node.target
    found: Tensor = getattr(args[0], target)(*args[1:], **kwargs) if node.op == "call_method" else target(*args, **kwargs)
    return found


def _node(graph: fx.Graph, tap: Tap) -> fx.Node:
    """The node whose value the tap is: a module's last output, or its input."""
    inside = [node for node in graph.nodes if tap.path in (node.meta.get("nn_module_stack") or {})]
    if not inside or tap.keys:
        raise UnboundedError(f"{tap.path!r} is no tensor of the traced network")
    return inside[0].all_input_nodes[0] if tap.is_input else inside[-1]


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _called(target: Any) -> str:
    return target if isinstance(target, str) else str(getattr(target, "__name__", target))
