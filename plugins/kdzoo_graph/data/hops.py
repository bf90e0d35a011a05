"""Entities two triples apart, as the released decentRL code selects them."""

from __future__ import annotations

import torch
from torch import Tensor

FREQUENT = 5
"""The most frequent pairs of relations make no two-hop edge (the authors' choice)."""


def two_hops(triples: Tensor, *, entities: int, relations: int) -> Tensor:
    """(P, 2) ends of every path head -> . -> tail of a graph (T, 3) whose ends no triple joins in that direction.

    Paths of the `FREQUENT` most frequent pairs of relations among them are left out.
    """
    first, second = _joined(triples)
    paths = torch.unique(torch.stack([triples[first, 0], triples[first, 1], triples[second, 1], triples[second, 2]], 1), dim=0)
    direct = triples[:, 0] * entities + triples[:, 2]
    paths = paths[~torch.isin(paths[:, 0] * entities + paths[:, 3], direct)]
    _, kind, count = torch.unique(paths[:, 1] * relations + paths[:, 2], return_inverse=True, return_counts=True)
    rare = ~torch.isin(kind, count.topk(min(FREQUENT, len(count))).indices)
    ends: Tensor = paths[rare][:, ::3]
    return ends


def _joined(triples: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of all pairs of triples of which the second starts where the first ends."""
    order = triples[:, 0].argsort(stable=True)
    leaving = torch.bincount(triples[:, 0], minlength=int(triples.max()) + 1)
    begin, count = (leaving.cumsum(0) - leaving)[triples[:, 2]], leaving[triples[:, 2]]
    first = torch.repeat_interleave(torch.arange(len(triples), device=triples.device), count)
    within = torch.arange(len(first), device=triples.device) - (count.cumsum(0) - count)[first]
    return first, order[begin[first] + within]
