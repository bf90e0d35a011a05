"""Semantic loss by sampling: what cannot be enumerated is drawn.

DomiKnowS's sampling loss (Faghihi et al., GLUECons, AAAI 2023, arXiv 2302.10914). From S states x_s drawn from the model's own
distribution, m_s = 1 where x_s satisfies the rules and P_s its probability:

    ratio     -log(sum_s m_s P_s / sum_s P_s)
    unique    the same over different states, each once: the semantic loss itself once every state has been drawn
    score     a loss whose gradient estimates that of P(violated): mean_s (v_s - mean v) log P_s, v_s = 1 - m_s (REINFORCE)

A row in which no sample satisfies the rules says nothing about where to go: its loss is 0, and it is counted.
Shapes: `log_weights` (B, S) of the drawn states, `satisfied` (B, S) bool, `first` (B, S) bool as of `first_times`; losses (B,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32


@in_float32
def draw(log_probabilities: Tensor, uniform: Tensor) -> Tensor:
    """(B, S): classes drawn from log-probabilities (B, C) by uniform numbers in [0, 1) (B, S)."""
    cumulative = log_probabilities.detach().exp().cumsum(1)
    drawn = torch.searchsorted(cumulative.contiguous(), (uniform * cumulative[:, -1:]).contiguous(), right=True)
    return drawn.clamp_max(log_probabilities.shape[1] - 1)


def first_times(states: Tensor) -> Tensor:
    """(B, S) bool: which samples are no repetition of an earlier one in their row; states (B, S, V) of whole numbers."""
    same = (states[:, :, None] == states[:, None]).all(-1)
    return ~same.tril(-1).any(-1)


@in_float32
def ratio_loss(log_weights: Tensor, satisfied: Tensor) -> Tensor:
    """(B,): -log of the share of satisfying states in the drawn states' weight; 0 where there is none."""
    possible = satisfied.any(1)
    kept = _logsumexp(log_weights, satisfied, possible)
    return torch.where(possible, log_weights.logsumexp(1) - kept, 0)


@in_float32
def unique_loss(log_weights: Tensor, satisfied: Tensor, first: Tensor) -> Tensor:
    """(B,): the same over the different states only, those that `first` marks."""
    return ratio_loss(log_weights.masked_fill(~first, -torch.inf), satisfied & first)


@in_float32
def score_loss(log_weights: Tensor, satisfied: Tensor) -> Tensor:
    """(B,): its gradient is the REINFORCE estimate of that of P(violated), with the mean of the row as baseline."""
    violated = 1 - satisfied.to(log_weights.dtype)
    return ((violated - violated.mean(1, keepdim=True)) * log_weights).mean(1)


def _logsumexp(log_weights: Tensor, kept: Tensor, possible: Tensor) -> Tensor:
    """log sum of the kept; a row that keeps none takes its first, so that no gradient is NaN."""
    safe = kept | (~possible[:, None] & (torch.arange(kept.shape[1], device=kept.device) == 0))
    return log_weights.masked_fill(~safe, -torch.inf).logsumexp(1)
