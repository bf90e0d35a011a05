"""Gradients kept apart: for an optimizer that moves parameters by where a gradient comes from, not by the sum alone.

Such an optimizer's maker has `parts`, name -> labels of methods; what is in none of them is the part `rest`. The parts sum to
the gradient of the total, over micro-batches, processes, loss scaling and clipping.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from kdzoo.engine.distributed import ProcessGroup
from kdzoo.errors import PluginError, RecipeError, did_you_mean
from kdzoo.protocol.context import RunContext, Weights
from kdzoo.protocol.outputs import Step
from kdzoo.protocol.roles import REST, Optimizer

Gradients = dict[nn.Parameter, Tensor]
CLIP_EPS = 1e-6
"""What `torch.nn.utils.clip_grad_norm_` adds to the norm."""


class GradientGroups:
    """The gradients of one optimizer's coming step, by part.

    Args:
        labels: part -> labels of its methods.
        optimizer: whose step it is; it finds them in its `parts` when it steps.
        role: the learner, for messages.
    """

    def __init__(self, labels: Mapping[str, Sequence[str]], optimizer: torch.optim.Optimizer, role: str) -> None:
        self.labels, self.role = dict(labels), role
        self.parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
        self.gradients: dict[str, Gradients] = {name: {} for name in (*labels, REST)}
        optimizer.parts = self.gradients  # type: ignore[attr-defined]

    def clear(self) -> None:
        """Forget all gradients."""
        for kept in self.gradients.values():
            kept.clear()

    def backward(self, run: RunContext, step: Step, weights: Weights) -> None:
        """Add the gradient of each part's share of the total."""
        named = {label for labels in self.labels.values() for label in labels}
        members = {**self.labels, REST: [label for label in weights if label not in named]}
        for name, labels in members.items():
            total = run.total(step, {label: weights[label] for label in labels})
            if not total.requires_grad:
                continue
            scaled = run.precision.scaled(total)
            found = torch.autograd.grad(scaled, self.parameters, retain_graph=name != REST, allow_unused=True)
            kept = self.gradients[name]
            for parameter, gradient in zip(self.parameters, found, strict=True):
                if gradient is not None:
                    kept[parameter] = kept[parameter] + gradient if parameter in kept else gradient

    def reduce(self, processes: ProcessGroup) -> None:
        """Sum each part over the processes, and leave the sum of the parts in `.grad`."""
        if any(parameter.grad is not None for parameter in self.parameters):
            raise PluginError(
                f"optimizers.{self.role} takes its gradients in parts, but some came by a backward() that belongs to none of "
                "them; leave the steps of this learner to the training loop, or use another optimizer, e.g. sgd."
            )
        for kept in self.gradients.values():
            for parameter in self.parameters:
                parameter.grad = kept.get(parameter)
            processes.reduce_gradients(self.parameters)
            kept.update({p: p.grad for p in self.parameters if p.grad is not None})
        for parameter in self.parameters:
            found = [kept[parameter] for kept in self.gradients.values() if parameter in kept]
            parameter.grad = torch.stack(found).sum(0) if found else None

    def follow(self, scale: float, clipped: tuple[Tensor, float] | None) -> None:
        """Do to each part what was done to the sum: a division by `scale`, and clipping of a norm to a largest one."""
        factor: Tensor | float = 1.0 / scale
        if clipped is not None:
            norm, largest = clipped
            factor = factor * (largest / (norm + CLIP_EPS)).clamp(max=1.0)
        if isinstance(factor, Tensor) or factor != 1.0:
            for kept in self.gradients.values():
                kept.update({parameter: gradient * factor for parameter, gradient in kept.items()})


def check(makers: Mapping[str, Optimizer], learners: Collection[str], methods: Collection[str]) -> None:
    """Refuse parts that name no method, one method twice, or belong to a teacher."""
    for role, maker in makers.items():
        labels = [label for own in getattr(maker, "parts", {}).values() for label in own]
        if labels and role not in learners:
            raise RecipeError(
                f"optimizers.{role} takes its gradients in parts, but a teacher is moved by one method's loss, which has none; "
                "use another optimizer, e.g. sgd."
            )
        for label in labels:
            if label not in methods:
                raise RecipeError(
                    f"optimizers.{role} wants the gradient of methods.{label} apart, but there is no such method; "
                    f"{did_you_mean(label, methods)}"
                )
            if labels.count(label) > 1:
                raise RecipeError(f"optimizers.{role} has methods.{label} in more than one part; leave it in one.")
