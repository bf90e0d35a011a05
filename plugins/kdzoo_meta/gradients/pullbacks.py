"""What an optimizer step does to a parameter, and how a gradient goes back through it, in closed form.

A rule is the map U: (p, g, state) -> (p', state') of one tensor. `pull` takes the gradient of a loss with respect to p' and
state' back to p (other than through g), g and state: w = (dU/dg)' v and so on. It never differentiates a square root, so an
entry that has never had a gradient gives 0 where automatic differentiation gives NaN.

    SGD             w = -lr v                   momentum mu: p' = p - lr b', b' = mu b + (1 - dampening) g
    Nesterov        w = -lr (1 + mu) v          coupled weight decay: g + wd p stands for g
    Adam, AdamW     w = -lr v [(1 - b1) / (c1 d) - m (1 - b2) g / (c1 c2 r d^2)],   c_k = 1 - b_k^step, r = sqrt(u / c2),
                    d = r + eps, with (m, u) after g was included; the second part is 0 where r is
    clip at c       g c / N where N = |g| + 1e-6 > c:   w <- (c / N) w - (c / N^2) (<g, w> / |g|) g
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kdzoo_meta.gradients.vectors import Vector, inner_product, length

State = tuple[Tensor, ...]
FLOOR = 1e-6
"""What `clip_grad_norm_` adds to the norm."""


class Rule(Protocol):
    """One tensor's step. `linear`: the way back does not depend on the gradient itself."""

    linear: bool

    def step(self, p: Tensor, g: Tensor, state: State) -> tuple[Tensor, State]:
        """(p', state'); an empty state is that of an optimizer that has not stepped yet."""

    def pull(self, p: Tensor, g: Tensor, state: State, to_p: Tensor, to_state: State) -> tuple[Tensor, Tensor, State]:
        """Gradients with respect to (p, g, state) from those with respect to (p', state'); an empty `to_state` is zero."""


@dataclass(frozen=True)
class SGDRule:
    """torch.optim.SGD; the state is (momentum buffer,)."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    linear = True

    def step(self, p: Tensor, g: Tensor, state: State) -> tuple[Tensor, State]:
        g = g + self.weight_decay * p if self.weight_decay else g
        if not self.momentum:
            return p - self.lr * g, ()
        buffer = self.momentum * state[0] + (1 - self.dampening) * g if state else g
        return p - self.lr * (g + self.momentum * buffer if self.nesterov else buffer), (buffer,)

    def pull(self, p: Tensor, g: Tensor, state: State, to_p: Tensor, to_state: State) -> tuple[Tensor, Tensor, State]:
        to_update = -self.lr * to_p
        to_g, before = to_update, State()
        if self.momentum:
            to_buffer = self.momentum * to_update if self.nesterov else to_update
            to_buffer = to_buffer + to_state[0] if to_state else to_buffer
            to_g = to_buffer * (1 - self.dampening if state else 1)
            to_g = to_g + to_update if self.nesterov else to_g
            before = (self.momentum * to_buffer,) if state else ()
        return (to_p + self.weight_decay * to_g if self.weight_decay else to_p), to_g, before


@dataclass(frozen=True)
class AdamRule:
    """torch.optim.Adam, or AdamW if `decoupled`; the state is (exp_avg, exp_avg_sq, step)."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = True
    linear = False

    def step(self, p: Tensor, g: Tensor, state: State) -> tuple[Tensor, State]:
        g, (mean, square, step) = self._seen(p, g, state)
        root = _sqrt(square / (1 - self.beta2**step))
        decayed = p * (1 - self.lr * self.weight_decay) if self.decoupled else p
        return decayed - self.lr / (1 - self.beta1**step) * mean / (root + self.eps), (mean, square, step)

    def _seen(self, p: Tensor, g: Tensor, state: State) -> tuple[Tensor, State]:
        """The gradient with coupled decay, and the state after it."""
        g = g if self.decoupled or not self.weight_decay else g + self.weight_decay * p
        mean, square, step = state or (torch.zeros_like(p), torch.zeros_like(p), torch.zeros(()))
        return g, (self.beta1 * mean + (1 - self.beta1) * g, self.beta2 * square + (1 - self.beta2) * g * g, step + 1)

    def pull(self, p: Tensor, g: Tensor, state: State, to_p: Tensor, to_state: State) -> tuple[Tensor, Tensor, State]:
        g, (mean, square, step) = self._seen(p, g, state)
        c1, c2 = 1 - float(self.beta1**step), 1 - float(self.beta2**step)
        root = (square / c2).sqrt()
        denominator = root + self.eps
        to_mean = -self.lr / c1 * to_p / denominator
        slope = torch.where(root > 0, 0.5 / (c2 * root), 0)
        to_square = self.lr / c1 * to_p * mean / denominator.square() * slope
        if to_state:
            to_mean, to_square = to_mean + to_state[0], to_square + to_state[1]
        to_g = (1 - self.beta1) * to_mean + 2 * (1 - self.beta2) * g * to_square
        kept = to_p * (1 - self.lr * self.weight_decay) if self.decoupled else to_p + self.weight_decay * to_g
        return kept, to_g, ((self.beta1 * to_mean, self.beta2 * to_square) if state else ())


def _sqrt(x: Tensor) -> Tensor:
    """The square root with slope 0 at 0."""
    there = x > 0
    return torch.where(there, torch.where(there, x, 1).sqrt(), 0)


def clipped(gradient: Vector, limit: float) -> dict[str, Tensor]:
    """The gradient scaled to at most the norm `limit`, as `torch.nn.utils.clip_grad_norm_` does."""
    factor = (limit / (length(gradient) + FLOOR)).clamp(max=1.0)
    return {name: g * factor for name, g in gradient.items()}


def unclipped(gradient: Vector, along: Vector, limit: float) -> dict[str, Tensor]:
    """The way back through `clipped` at the raw `gradient`; a gradient within the limit passes `along` on."""
    norm = length(gradient)
    floored = norm + FLOOR
    active = floored > limit
    scale = torch.where(active, limit / floored, 1)
    shift = torch.where(active, limit / floored.square() * inner_product(along, gradient) / norm, 0)
    return {name: scale * w - shift * gradient[name] for name, w in along.items()}
