"""Optimizers by name, with the field's usual defaults.

A momentum or beta of 1 never forgets, and a rate times a decay of 1 takes the whole weight away at each step: both are refused.
Rates and epsilons by themselves have no upper bound, as their scale is that of the loss.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from kdzoo.ranges import at_least, at_least_and_below


class SGD:
    """SGD with momentum; defaults of the CIFAR protocol (lr 0.05, momentum 0.9, weight decay 5e-4, no Nesterov)."""

    kdzoo_kind = "optimizers"

    def __init__(self, *, lr: float = 0.05, momentum: float = 0.9, weight_decay: float = 5e-4, nesterov: bool = False) -> None:
        sgd_ranges(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, got momentum=0; set momentum, or leave nesterov out")
        self.lr = lr
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
        )


class Adam:
    """Adam (Kingma, Ba, 2015) with torch's defaults and coupled weight decay."""

    kdzoo_kind = "optimizers"

    def __init__(
        self, *, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        _adam_ranges(lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)
        self.lr = lr
        self.betas, self.eps, self.weight_decay = (beta1, beta2), eps, weight_decay

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay)


class AdamW:
    """AdamW (Loshchilov, Hutter, 2019): decoupled weight decay, 0.01 by default as in torch."""

    kdzoo_kind = "optimizers"

    def __init__(
        self, *, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01
    ) -> None:
        _adam_ranges(lr=lr, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)
        _decays(lr, weight_decay)
        self.lr = lr
        self.betas, self.eps, self.weight_decay = (beta1, beta2), eps, weight_decay

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay)


def sgd_ranges(*, lr: float, momentum: float, weight_decay: float) -> None:
    """Refuse numbers that no SGD can use. Raises ValueError."""
    at_least(0, lr=lr, weight_decay=weight_decay)
    at_least_and_below(0, 1, momentum=momentum)
    _decays(lr, weight_decay)


def _decays(lr: float, weight_decay: float) -> None:
    if lr * weight_decay >= 1:
        raise ValueError(f"weight_decay times lr must be below 1, or weights change their sign; got {weight_decay:g} * {lr:g}")


def _adam_ranges(*, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float) -> None:
    at_least(0, lr=lr, eps=eps, weight_decay=weight_decay)
    at_least_and_below(0, 1, beta1=beta1, beta2=beta2)
