"""Weighted model counting: how probable it is that a formula holds, and the exact semantic loss made of it.

Xu, Zhang, Friedman, Liang, Van den Broeck, "A Semantic Loss Function for Deep Learning with Symbolic Knowledge", ICML 2018
(arXiv 1711.11157).

    WMC = P(formula) = sum over states that satisfy it of prod_l P(l)        semantic loss = -log WMC

A literal is an assertion that one concept makes: a class of a softmax head, or a binary concept being true or being false.
Heads and binary concepts are independent given the input. Shapes: log-probabilities of the literals (B, L); `states` (S, L)
with 1 at the literals that a state asserts; results (B,) unless they say otherwise.

Closed forms: `hierarchy_log_count` for a fine and a coarse softmax head, and `counting.log_count_distribution` for counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.float32 import in_float32

FLOOR = -1e4
"""Log-probability of what is impossible: finite, so that 0 times it is 0 and its gradient is a number."""


@in_float32
def state_log_weights(literals: Tensor, states: Tensor) -> Tensor:
    """(B, S): log-probability of each state."""
    return literals.clamp_min(FLOOR) @ states.mT.to(literals.dtype)


@in_float32
def log_weighted_count(literals: Tensor, models: Tensor) -> Tensor:
    """(B,): log WMC from the states (S, L) that satisfy the formula; at least one.

    >>> p = torch.tensor([[0.5, 0.25]])  # two binary concepts: literals are both, then both negated
    >>> exactly_one = torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]])
    >>> log_weighted_count(torch.cat([p, 1 - p], 1).log(), exactly_one).exp()
    tensor([0.5000])
    """
    return state_log_weights(literals, models).logsumexp(1)


@in_float32
def hierarchy_log_count(fine: Tensor, coarse: Tensor, parent: Tensor) -> Tensor:
    """(B,): log sum_f p_f q_parent(f), the probability that a fine and a coarse head agree.

    `fine` (B, F) and `coarse` (B, C) are log-probabilities, `parent` (F,) the coarse class of each fine one.
    """
    return (fine + coarse[:, parent]).logsumexp(1)


@in_float32
def marginal_divergence(fine: Tensor, coarse: Tensor, parent: Tensor) -> Tensor:
    """(B,): KL of the fine head summed over the children of each coarse class from the coarse head; both as above."""
    marginal = torch.zeros_like(coarse).index_add(1, parent, fine.exp())
    return (torch.special.xlogy(marginal, marginal) - marginal * coarse).sum(1)
