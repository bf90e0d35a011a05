"""DOT: SGD with one momentum for the task gradient and a longer one for the distillation gradient.

Zhao, Cui, Song, Liang, "DOT: A Distillation-Oriented Trainer", ICCV 2023 (arXiv 2307.08436).

    v_task = (m - delta) v_task + g_task + decay * p        v_kd = (m + delta) v_kd + g_kd        p = p - lr (v_task + v_kd)

The first step of a buffer is its gradient. A parameter that only the distillation trains (an adapter) uses the momentum m; as
released, its weight decay starts with the second step. CIFAR-100 and Tiny-ImageNet: m 0.9, delta 0.075, plain KD at 0.1/0.9;
ImageNet: delta 0.09.
"""

from __future__ import annotations

from torch import Tensor


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
