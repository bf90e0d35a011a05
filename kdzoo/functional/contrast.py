"""Contrastive representation distillation: scores against a memory of the other network, noise-contrastive estimation.

Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv 1910.10699.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.features import unit
from kdzoo.functional.float32 import in_float32


@in_float32
def memory_scores(embedding: Tensor, memory: Tensor, rows: Tensor, *, temperature: float = 0.07) -> Tensor:
    """`exp(e . m / T)` of unit embeddings (B, d) and the rows (B, 1 + K) of a memory (N, d), the positive first: (B, 1 + K).

    All B N products are formed and picked from: that takes far less memory than gathering B (1 + K) rows first.
    """
    return ((embedding @ memory.T).gather(1, rows) / temperature).exp()


def partition(scores: Tensor, samples: int) -> Tensor:
    """The constant Z that turns scores into probabilities over the memory: their mean times its `samples`, detached.

    The authors estimate it once, from the first batch, and keep it.
    """
    return scores.detach().mean() * samples


@in_float32
def noise_contrast(probabilities: Tensor, samples: int, *, eps: float = 1e-7) -> Tensor:
    """Noise-contrastive loss of (B, 1 + K) probabilities, the positive first; noise is uniform over `samples`. Mean over B.

    `-log P_0/(P_0 + K/N + eps) - sum_k log (K/N)/(P_k + K/N + eps)`.

    >>> noise_contrast(torch.tensor([[0.9, 0.1]]), 10)
    tensor(0.7985)
    """
    noise = (probabilities.shape[1] - 1) / samples
    positive, negative = probabilities[:, 0], probabilities[:, 1:]
    right = (positive / (positive + noise + eps)).log()
    wrong = (noise / (negative + noise + eps)).log().sum(1)
    return -(right + wrong).mean()


def moved_memory(memory: Tensor, embedding: Tensor, *, momentum: float = 0.5) -> Tensor:
    """Memory rows (B, d) moved toward the embeddings and brought back to unit length."""
    return unit(momentum * memory + (1 - momentum) * embedding)
