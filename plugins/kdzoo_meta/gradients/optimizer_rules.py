"""The rules and the state of a torch optimizer as it stands, so that an inner step is the step it would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo_meta.gradients.pullbacks import AdamRule, Rule, SGDRule, State


def mirrored(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> tuple[dict[str, Rule], dict[str, State]]:
    """The rule and the state of each named parameter.

    Raises:
        CapabilityError: an optimizer, or a variant, whose step has no closed-form way back here.
    """
    names = {id(p): name for name, p in parameters.items()}
    rules: dict[str, Rule] = {}
    states: dict[str, State] = {}
    for group in optimizer.param_groups:
        rule = _rule(optimizer, group)
        for parameter in group["params"]:
            name = names[id(parameter)]
            rules[name], states[name] = rule, _state(optimizer.state.get(parameter, {}))
    return rules, states


def _rule(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> Rule:
    make = RULES.get(type(optimizer))
    odd = [name for name in ("amsgrad", "maximize") if group.get(name)]
    if make is None or odd:
        found = type(optimizer).__name__ + (f" with {odd[0]}" if odd else "")
        raise CapabilityError(
            f"metadistil's inner step cannot imitate the student's optimizer {found}; it knows SGD, Adam and AdamW: "
            "use one of them, or set inner=sgd, the plain step of the paper."
        )
    return make(group)


def _sgd(group: Mapping[str, Any]) -> Rule:
    return SGDRule(group["lr"], group["momentum"], group["dampening"], group["nesterov"], group["weight_decay"])


def _adam(group: Mapping[str, Any], *, decoupled: bool = False) -> Rule:
    beta1, beta2 = group["betas"]
    return AdamRule(group["lr"], beta1, beta2, group["eps"], group["weight_decay"], decoupled)


RULES: dict[type, Callable[[Mapping[str, Any]], Rule]] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: lambda group: _adam(group, decoupled=True),
}


def _state(state: Mapping[str, Any]) -> State:
    if "exp_avg" in state:
        return state["exp_avg"], state["exp_avg_sq"], torch.as_tensor(state["step"])
    buffer = state.get("momentum_buffer")
    return () if buffer is None else (buffer,)
