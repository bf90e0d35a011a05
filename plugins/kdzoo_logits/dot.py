"""DOT: SGD with one momentum for the task gradient and a longer one for the distillation gradient.

Zhao, Cui, Song, Liang, "DOT: A Distillation-Oriented Trainer", ICCV 2023 (arXiv 2307.08436).

    v_task = (m - delta) v_task + g_task + decay * p        v_kd = (m + delta) v_kd + g_kd        p = p - lr (v_task + v_kd)

The first step of a buffer is its gradient. A parameter that only the distillation trains (an adapter) uses the momentum m; as
released, its weight decay starts with the second step. CIFAR-100 and Tiny-ImageNet: m 0.9, delta 0.075, plain KD at 0.1/0.9;
ImageNet: delta 0.09.

An optimizer, not a method: `optimizers: {student: {use: dot}}`. The task's gradient is that of the methods named in `task`
(`hard_label` unless said otherwise), the distillation's that of all others; the engine keeps the two apart. Clipping and fp16's
loss scaling act on their sum, so both parts shrink alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.optimizers import sgd_ranges
from kdzoo.protocol.roles import REST
from kdzoo.ranges import finite

TASK, DISTILL = "task", REST


def accumulate(buffer: Tensor | None, gradient: Tensor, momentum: float) -> Tensor:
    """A momentum buffer after a gradient; None is a buffer that has seen none."""
    return gradient.clone() if buffer is None else momentum * buffer + gradient


def dot_step(
    parameter: Tensor,
    task: tuple[Tensor | None, Tensor | None],
    distill: tuple[Tensor | None, Tensor | None],
    *,
    lr: float,
    momentum: float = 0.9,
    delta: float = 0.075,
    weight_decay: float = 0.0,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """One step. `task` and `distill` are (buffer, gradient), each None where there is none.

    Returns the new parameter, task buffer and distillation buffer.
    """
    (v_task, g_task), (v_kd, g_kd) = task, distill
    both = g_task is not None and g_kd is not None
    decay = weight_decay * parameter
    if g_task is not None:
        v_task = accumulate(v_task, g_task + decay, momentum - delta * both)
    if g_kd is not None:
        late = decay if g_task is None and v_kd is not None else 0.0
        v_kd = accumulate(v_kd, g_kd + late, momentum + delta * both)
    move = sum(v for v, g in ((v_task, g_task), (v_kd, g_kd)) if g is not None and v is not None)
    return parameter - lr * move, v_task, v_kd


class TwoMomenta(torch.optim.Optimizer):
    """The torch optimizer: `parts[TASK]` and `parts[DISTILL]` are the gradients by parameter, set before each step."""

    parts: Mapping[str, Mapping[nn.Parameter, Tensor]]

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float, delta: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "delta": delta, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            settings = {name: group[name] for name in ("lr", "momentum", "delta", "weight_decay")}
            for parameter in group["params"]:
                self._move(parameter, settings)

    def _move(self, parameter: nn.Parameter, settings: Mapping[str, float]) -> None:
        gradients = {name: self.parts[name].get(parameter) for name in (TASK, DISTILL)}
        if all(gradient is None for gradient in gradients.values()):
            return
        state = self.state[parameter]
        task, distill = ((state.get(name), gradients[name]) for name in (TASK, DISTILL))
        moved, *buffers = dot_step(parameter, task, distill, **settings)
        parameter.copy_(moved)
        state.update({name: v for name, v in zip((TASK, DISTILL), buffers, strict=True) if v is not None})


class DOT:
    """SGD with a shorter memory for the task and a longer one for the distillation.

    Args:
        lr: rate. momentum: m. delta: by how much the momenta differ from m, each its way. weight_decay: of the task's part.
        task: labels of the methods whose gradient is the task's.
    """

    kdzoo_kind = "optimizers"

    def __init__(
        self,
        *,
        lr: float = 0.05,
        momentum: float = 0.9,
        delta: float = 0.075,
        weight_decay: float = 5e-4,
        task: Sequence[str] = ("hard_label",),
    ) -> None:
        sgd_ranges(lr=lr, momentum=momentum, weight_decay=weight_decay)
        finite(delta=delta)
        if not task:
            raise ValueError("task must name at least one method, got none")
        if not 0 <= delta <= momentum < 1 - delta:
            raise ValueError(
                f"momentum - delta and momentum + delta must lie between 0 and 1, got momentum {momentum:g} and delta {delta:g}"
            )
        self.lr, self.momentum, self.delta, self.weight_decay = lr, momentum, delta, weight_decay
        self.parts = {TASK: tuple(task)}

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        settings = {"momentum": self.momentum, "delta": self.delta, "weight_decay": self.weight_decay}
        return TwoMomenta(parameters, lr=self.lr, **settings)
