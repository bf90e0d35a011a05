"""The Hessian of the inner loss times a direction, which a second inner step needs.

For the methods' own parameters it falls out of the surrogate. For the student's it is the derivative along w of J(theta)' c,
where J is the Jacobian of its answers and c = d total / d answers, which changes too: forward over reverse, in the network
alone. No loss is differentiated in forward mode, and the graph is that of a first gradient.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from kdzoo_meta.gradients.inner_objective import InnerObjective, Part
from kdzoo_meta.gradients.surrogate import Surrogate
from kdzoo_meta.gradients.vectors import Vector, floats


def add_hessian(
    objective: InnerObjective, part: Part, found: Surrogate, along: Vector, size: Tensor, *, into: dict[str, Tensor]
) -> None:
    """Add it to the `.grad` of `into`.

    Args:
        found: the surrogate of `part`, after `(found.value * size).backward()`; along: the direction, of length 1, that stands
            for one of length `size`.
    """
    scale, floored = objective.run.precision.scale, size.clamp_min(torch.finfo(size.dtype).tiny)
    own = objective.own({name: p.detach() for name, p in into.items()})
    slopes = {str(n): s.detach() * scale for n, s in enumerate(found.slopes) if s is not None}
    changes = {n: _or_zeros(found.cut[int(n)]) / floored for n in slopes}
    _, products = objective.tangents(partial(_pulled_back, objective, part), {**own, **slopes}, {**along, **changes})
    for name, change in zip(own, products, strict=True):
        _add(into[name], None if change is None else change * size)
    for name, parameter in found.params.items():
        _add(into[name], parameter.grad)


def _pulled_back(objective: InnerObjective, part: Part, mixed: Vector) -> list[Tensor]:
    """J(theta)' c for each of the student's parameters; `mixed` holds theta by name and c by number."""
    theta = {name: p.requires_grad_() for name, p in mixed.items() if not name.isdigit()}

    def passes() -> tuple[Tensor | None, ...]:
        answers = floats(objective.answers(part, theta))
        used = {int(n): c for n, c in mixed.items() if n.isdigit() and answers[int(n)].requires_grad}
        outputs = [answers[n] for n in used]
        return torch.autograd.grad(outputs, list(theta.values()), list(used.values()), allow_unused=True)

    pulled = objective.held(theta, passes)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(theta.values(), pulled, strict=True)]


def _or_zeros(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _add(leaf: Tensor, grad: Tensor | None) -> None:
    if grad is not None:
        leaf.grad = grad if leaf.grad is None else leaf.grad + grad
