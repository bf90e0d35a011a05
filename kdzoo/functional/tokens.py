"""Losses on tokens: what two encoders make of each position of a text, and how positions look at each other.

Shapes: B texts, T positions, d widths, A heads. `mask` (B, T) is 1 where there is a token. Padding never counts: every loss
is a mean over the tokens of a text first, and then over the texts, so longer padding or smaller micro-batches change nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.functional.divergence import kl_rows
from kdzoo.functional.features import unit
from kdzoo.functional.float32 import in_float32


def token_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the texts of the mean over a text's tokens of `values` (B, T).

    >>> token_mean(torch.tensor([[1.0, 3.0], [4.0, 9.0]]), torch.tensor([[1, 1], [1, 0]]))
    tensor(3.)
    """
    kept = torch.where(mask.bool(), values, torch.zeros_like(values))
    return (kept.sum(1) / mask.sum(1).clamp_min(1)).mean()


@in_float32
def token_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of hidden states (B, T, d), a mean over d too (TinyBERT, MobileBERT).

    >>> mask = torch.tensor([[1, 0]])
    >>> token_mse(torch.tensor([[[1.0], [9.0]]]), torch.zeros(1, 2, 1), mask)  # the second position is padding
    tensor(1.)
    """
    return token_mean((student - teacher).square().mean(2), mask)


@in_float32
def token_cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`1 - cos` of hidden states (B, T, d), token by token (DistilBERT).

    >>> token_cosine(torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[0.0, 3.0]]]), torch.ones(1, 1))
    tensor(1.)
    """
    return token_mean(1 - (unit(student) * unit(teacher)).sum(2), mask)


@in_float32
def unit_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over batch and widths of the squared gap between unit vectors (B, d) (Patient KD).

    >>> unit_mse(torch.tensor([[3.0, 0.0]]), torch.tensor([[5.0, 0.0]]))
    tensor(0.)
    """
    return (unit(student) - unit(teacher)).square().mean()


def by_head(x: Tensor, heads: int) -> Tensor:
    """(B, T, d) -> (B, A, T, d / A)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def scores(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """Scaled inner products before the softmax: (B, T, d) twice -> (B, A, T, T). Of `x` with itself: its relations."""
    query, key = by_head(query, heads), by_head(key, heads)
    return query @ key.transpose(2, 3) / query.shape[3] ** 0.5


@in_float32
def score_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of scores (B, A, T, T) over heads and pairs of tokens (TinyBERT).

    >>> score_mse(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2.0), torch.tensor([[1, 0]]))
    tensor(4.)
    """
    gaps = (student - teacher).square().mean(1)  # (B, T, T)
    pairs = mask[:, :, None] * mask[:, None, :]
    return token_mean(gaps.flatten(1), pairs.flatten(1))


@in_float32
def attention_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean over heads and tokens of KL(teacher || student) between attention distributions, from scores (B, A, T, T).

    Both are distributions over the tokens of the text (MiniLM, MiniLMv2, MobileBERT).

    >>> student, teacher = torch.zeros(1, 1, 2, 2), torch.tensor([[[[50.0, 0.0], [0.0, 50.0]]]])
    >>> attention_kl(student, teacher, torch.ones(1, 2))  # log 2
    tensor(0.6931)
    """
    padding = ~mask.bool()[:, None, None, :]
    log_s, log_t = (x.masked_fill(padding, torch.finfo(x.dtype).min).log_softmax(3) for x in (student, teacher))
    log_t = log_t.masked_fill(padding, -torch.inf)
    return token_mean(kl_rows(log_s, log_t).mean(1), mask)


@in_float32
def attention_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of attention probabilities over heads and pairs of tokens, from scores (B, A, T, T)."""
    padding = ~mask.bool()[:, None, None, :]
    probabilities = [F.softmax(x.masked_fill(padding, torch.finfo(x.dtype).min), 3) for x in (student, teacher)]
    return score_mse(probabilities[0], probabilities[1], mask)
