"""Inference-masked loss: an element counts less where constrained inference already agrees with its label.

Guo, Faghihi, ... Kordjamshidi, "Inference-Masked Loss for Deep Structured Output Learning", IJCAI 2020. With inference
y in {0, 1}, label t, probability s of the element and lambda in [0, 1]:

    -(1 - (1 - lambda) y) t log s - (lambda + (1 - lambda) y) (1 - t) log(1 - s)

Both agree: lambda times the cross-entropy. They differ: all of it. lambda = 1 is binary cross-entropy.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from kdzoo.functional.float32 import in_float32


@in_float32
def inference_masked(logits: Tensor, label: Tensor, inferred: Tensor, *, agreed: float = 0.5) -> Tensor:
    """Element by element, in the shape of the logits of the binary concepts. `agreed` is lambda."""
    positive = (1 - (1 - agreed) * inferred) * label
    negative = (agreed + (1 - agreed) * inferred) * (1 - label)
    return -positive * F.logsigmoid(logits) - negative * F.logsigmoid(-logits)
