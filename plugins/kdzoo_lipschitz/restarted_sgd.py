"""SGD that forgets its momentum whenever a rate changes: code that builds a new optimizer at each step of the rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from kdzoo.optimizers import SGD


class Restarted(torch.optim.SGD):
    """The torch optimizer. The rate of the last step is kept in each group, so it is in checkpoints."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        for group in self.param_groups:
            if group.get("rate_before", group["lr"]) != group["lr"]:
                for parameter in group["params"]:
                    self.state.pop(parameter, None)
            group["rate_before"] = group["lr"]
        return super().step(closure)


class RestartedSGD(SGD):
    """`sgd` whose momentum begins anew when its rate changes, as in LONDON's released code; for rates that fall in steps."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return Restarted(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov)
