"""A model up to one of its taps, as a module of its own: for methods that replace what comes after (SimKD, CAT-KD).

The graph is cut by `torch.fx`, so what is left is an ordinary module that shares the model's parameters, holds nothing that
it does not use, and can be exported. Where the model's code branches on a shape, the branch for the task's inputs is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from kdzoo.errors import CapabilityError
from kdzoo.models.tap_names import expand, named_taps, resolve


class _Tracer(fx.Tracer):
    """Keeps the given module paths whole, so that each is one node of the graph and hooks on it run; decides branches."""

    def __init__(self, whole: set[str], example: Tensor) -> None:
        super().__init__()
        self.whole, self.example, self.deciding = whole, example, False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.whole or super().is_leaf_module(m, module_qualified_name)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """The condition's value on the example, computed by what has been traced so far."""
        so_far = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        so_far.graph_copy(self.graph, copies)
        so_far.output(copies[obj.node])
        self.deciding = True
        try:
            return bool(fx.GraphModule(self.root, so_far)(self.example))
        finally:
            self.deciding = False

    # While a condition is decided, modules run as they are: fx has replaced their call and their attribute access.
    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return forward(*args, **kwargs) if self.deciding else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self.deciding else super().getattr(attr, attr_val, parameter_proxy_cache)


@torch.no_grad()
def up_to(model: nn.Module, tap: str, example: Tensor) -> fx.GraphModule:
    """`model` up to the tap `tap`: inputs like `example` (B, C, H, W) to that feature.

    Raises:
        CapabilityError: the model cannot be traced, because its code looks at values or is not written in torch.
    """
    path, is_input, _ = resolve(model, *expand(model, (tap,)))
    others = {resolve(model, name).path for name in named_taps(model)}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        graph = _Tracer({path, *_outermost(others, path)}, example).trace(model)
    except Exception as error:  # tracing runs the model's own code, which may do anything
        raise CapabilityError(
            f"the student {type(model).__name__} cannot be cut at tap {tap!r} ({type(error).__name__}: {error}); "
            "its forward must be traceable by torch.fx, that is, not look at the values of tensors."
        ) from error
    finally:
        for module, was in modes:
            module.training = was
    node = [node for node in graph.nodes if node.op == "call_module" and node.target == path][-1]
    _end(graph, node.args[0] if is_input else node)
    return fx.GraphModule(model, graph)


def _outermost(paths: set[str], target: str) -> set[str]:
    """The paths that neither contain `target` nor lie inside another one."""
    kept = {path for path in paths if path != target and not target.startswith(f"{path}.")}
    return {path for path in kept if not any(path.startswith(f"{other}.") for other in {*kept, target})}


def _end(graph: fx.Graph, last: object) -> None:
    """Let the graph return `last`, and drop what nothing uses then."""
    for node in reversed(list(graph.nodes)):
        if node.op == "output":
            node.args = (last,)
        elif node.op != "placeholder" and not node.users:
            graph.erase_node(node)
