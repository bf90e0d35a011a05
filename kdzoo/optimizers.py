"""Optimizers by name, with the field's usual defaults."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


class SGD:
    """SGD with momentum; defaults of the CIFAR protocol (lr 0.05, momentum 0.9, weight decay 5e-4, no Nesterov)."""

    kdzoo_kind = "optimizers"

    def __init__(self, *, lr: float = 0.05, momentum: float = 0.9, weight_decay: float = 5e-4, nesterov: bool = False) -> None:
        self.lr = _checked(lr)
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
        self.lr = _checked(lr)
        self.betas, self.eps, self.weight_decay = (beta1, beta2), eps, weight_decay

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay)


class AdamW:
    """AdamW (Loshchilov, Hutter, 2019): decoupled weight decay, 0.01 by default as in torch."""

    kdzoo_kind = "optimizers"

    def __init__(
        self, *, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.01
    ) -> None:
        self.lr = _checked(lr)
        self.betas, self.eps, self.weight_decay = (beta1, beta2), eps, weight_decay

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay)


def _checked(lr: float) -> float:
    if lr < 0:
        raise ValueError(f"lr must be >= 0, got {lr}")
    return lr
