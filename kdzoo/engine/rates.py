"""The numbers of an optimizer that schedules move."""

from __future__ import annotations

import torch


class Rates(dict[str, float]):
    """An optimizer's rates, momenta and decays by name; writing one changes every parameter group."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        group = optimizer.param_groups[0]
        super().__init__({k: v for k, v in group.items() if isinstance(v, int | float) and not isinstance(v, bool)})
        self.optimizer = optimizer

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, value)
        for group in self.optimizer.param_groups:
            group[name] = value
