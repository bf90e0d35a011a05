"""How the inner gradient depends on the teacher: the mixed second derivative of the inner loss along a direction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from kdzoo_meta.gradients.hessian import add_hessian
from kdzoo_meta.gradients.inner_objective import InnerObjective, Part
from kdzoo_meta.gradients.surrogate import surrogate
from kdzoo_meta.gradients.vectors import Vector, length


def mixed_gradient(
    objective: InnerObjective, parts: Sequence[Part], theta: Vector, along: dict[str, Tensor], *, onward: bool
) -> dict[str, Tensor]:
    """Add d/dphi <d total / d theta, along> to the `.grad` of the teacher's parameters.

    With `onward` also return d/dtheta of it, the Hessian times `along`. `along` is used up: it is brought to length 1,
    which keeps tangents in the range of half precision, and the length is given back in full precision.
    """
    size = length(along)
    torch._foreach_div_(list(along.values()), size.clamp_min(torch.finfo(size.dtype).tiny))
    along = {name: along[name] if name in along else torch.zeros_like(p) for name, p in theta.items()}
    own = objective.own(theta)
    extra = {name: p for name, p in theta.items() if name not in own}
    passed = {name: p.detach().requires_grad_() for name, p in theta.items()}
    for part in parts:
        answers, tangents = objective.tangents(partial(objective.answers, part), own, along)
        found = surrogate(partial(objective.total, part, graph=True), answers, tangents, extra, along)
        objective.backward(found.value * size)
        if onward:
            add_hessian(objective, part, found, along, size, into=passed)
    return objective.collected(passed) if onward else {}
