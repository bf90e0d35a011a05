"""A model up to one of its taps, as a module of its own: for methods that replace what comes after (SimKD, CAT-KD).

The graph is cut by `torch.fx`, so what is left is an ordinary module that shares the model's parameters, holds nothing that
it does not use, and can be exported.
"""

from __future__ import annotations

from torch import fx, nn

from kdzoo.errors import CapabilityError
from kdzoo.models.taps import expand, named_taps, resolve


class _Tracer(fx.Tracer):
    """Keeps the given module paths whole, so that each is one node of the graph and its hooks still run."""

    def __init__(self, whole: set[str]) -> None:
        super().__init__()
        self.whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.whole or super().is_leaf_module(m, module_qualified_name)


def up_to(model: nn.Module, tap: str) -> fx.GraphModule:
    """`model` up to the tap `tap`, inputs to feature. Raises CapabilityError if the model cannot be traced."""
    path, is_input = resolve(model, *expand(model, (tap,)))
    whole = {target for target, _ in (resolve(model, name) for name in named_taps(model))}
    try:
        graph = _Tracer({*_outermost(whole - {path}, path), path}).trace(model)
    except Exception as error:  # tracing runs the model's own code, which may do anything
        raise CapabilityError(
            f"the student {type(model).__name__} cannot be cut at tap {tap!r} ({type(error).__name__}: {error}); "
            "its forward must be traceable by torch.fx, that is, branch on no tensor."
        ) from error
    nodes = [node for node in graph.nodes if node.op == "call_module" and node.target == path]
    last = nodes[-1].args[0] if is_input else nodes[-1]
    for node in reversed(list(graph.nodes)):
        if node.op == "output":
            node.args = (last,)
        elif node.op != "placeholder" and not node.users:
            graph.erase_node(node)
    return fx.GraphModule(model, graph)


def _outermost(paths: set[str], target: str) -> set[str]:
    """The paths that do not contain `target` and lie in no other one."""
    kept = {path for path in paths if not target.startswith(f"{path}.")}
    return {path for path in kept if not any(path.startswith(f"{other}.") for other in kept)}
