"""One student forward for two uses: the inner step's gradient, and afterwards the real step on the same batch.

Both see the same parameters and, here, the same dropout masks, so the answers are the same; the released code draws fresh
masks. The real step takes the answers from `run.precomputed`, with their graph, and only asks the updated teacher anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo_meta.gradients.inner_objective import InnerObjective, Part
from kdzoo_meta.gradients.vectors import floats, with_floats


def shared_gradient(objective: InnerObjective, parts: Sequence[Part]) -> dict[str, Tensor]:
    """g at the student's own parameters; its answers are left for the step that follows."""
    leaves = {name: p.detach().requires_grad_() for name, p in objective.run.trainable().items()}
    for part in parts:
        _add(objective, part, leaves)
    return objective.collected(leaves)


def _add(objective: InnerObjective, part: Part, leaves: dict[str, Tensor]) -> None:
    run, micro = objective.run, part.micro
    with objective.masks(micro):
        answers = {view: run.forward(run.first, micro, view=view, commit=True) for view in objective.views}
    run.precomputed[run.first, micro.number, micro.part] = answers
    cut = [t.detach().requires_grad_() for t in floats(answers)]
    objective.backward(objective.total(part, with_floats(answers, cut), leaves, graph=False))
    used = [(t, c.grad) for t, c in zip(floats(answers), cut, strict=True) if t.requires_grad and c.grad is not None]
    live = {name: p for name, p in run.trainable().items() if name.startswith(f"{run.first}.")}
    found = torch.autograd.grad(
        [t for t, _ in used], list(live.values()), [g for _, g in used], retain_graph=True, allow_unused=True
    )
    for name, g in zip(live, found, strict=True):
        if g is not None:
            before = leaves[name].grad
            leaves[name].grad = g if before is None else before + g
