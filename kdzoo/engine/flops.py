"""Floating-point operations, counted while they are carried out.

Matrix products, convolutions and attention, forward and backward, by the formulas of `torch.utils.flop_counter`: two for each
multiply-add. torch's own counter also keeps a tree of modules with hooks on every tensor; this one is a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from kdzoo.engine.apart import is_apart


class FlopCounter(TorchDispatchMode):
    """Counts what is computed inside `with FlopCounter() as counter:`; `counter.total`.

    Values change by rounding at most: torch takes other forms of some derivatives while anybody watches its operators.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        formula: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if formula is not None and not is_apart():
            self.total += int(formula(*args, **kwargs, out_val=out))
        return out
