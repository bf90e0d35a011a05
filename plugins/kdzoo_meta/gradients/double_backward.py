"""The meta-gradient by differentiating through the inner steps: what the paper's code does, and the oracle of the tests.

It keeps the graph of a gradient, so it needs operators that can be differentiated twice throughout, plain attention in every
pass, one process, and far more memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from kdzoo.protocol.outputs import Batch
from kdzoo_meta.gradients.inner_objective import InnerObjective, Part
from kdzoo_meta.gradients.inner_step import InnerStep, States
from kdzoo_meta.gradients.unroll import Quiz
from kdzoo_meta.gradients.vectors import Vector


def double_backward(objective: InnerObjective, inner: InnerStep, window: Sequence[Batch], quiz: Quiz) -> None:
    """Add the meta-gradient to the `.grad` of the teacher's parameters."""
    theta: Vector = {name: p.detach().requires_grad_() for name, p in objective.run.trainable().items()}
    states: States = inner.states
    with sdpa_kernel(SDPBackend.MATH):
        for batch in window:
            theta, states = inner.step(theta, _gradient(objective, objective.parts(batch), theta), states)
        value = torch.stack([objective.quiz_loss(micro, theta, share=share) for micro, share in quiz]).sum()
        teacher = [p for p in objective.run.model(objective.teacher).parameters() if p.requires_grad]
        objective.run.precision.scaled(value).backward(inputs=teacher)


def _gradient(objective: InnerObjective, parts: Sequence[Part], theta: Vector) -> Vector:
    """g with its graph."""
    values = [objective.total(part, objective.answers(part, theta), theta, graph=True) for part in parts]
    found = torch.autograd.grad(torch.stack(values).sum(), list(theta.values()), create_graph=True, allow_unused=True)
    return {name: g for name, g in zip(theta, found, strict=True) if g is not None}
