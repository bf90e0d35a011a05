"""Samples that gradients go through: the Gumbel-softmax.

Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017 (arXiv 1611.01144):
softmax((log p + g) / T), g = -log(-log u). `straight` gives the sampled class and the gradient of the soft sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32

SMALLEST = 2.0**-25


@in_float32
def gumbel_softmax(log_probabilities: Tensor, uniform: Tensor, *, temperature: float, straight: bool = False) -> Tensor:
    """Samples in the shape of the log-probabilities (..., C), from uniform numbers in [0, 1) of that shape."""
    noise = -(-(uniform + SMALLEST).log()).log()
    soft = ((log_probabilities + noise) / temperature).softmax(-1)
    if not straight:
        return soft
    hard = torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0)
    return hard + soft - soft.detach()
