"""What the seeds of an alignment say about the graphs themselves, as the released AliNet and decentRL code uses it."""

from __future__ import annotations

import torch
from torch import Tensor


def swapped(side: Tensor, other: Tensor, counterpart: Tensor) -> Tensor:
    """`other`'s triples, and with them each triple of `side` whose ends are both seeds, said of their counterparts.

    Not where `other` joins these two in that direction already. Triples (T, 3); `counterpart` (n,) holds -1 for no seed.
    """
    entities = len(counterpart)
    both = side[(counterpart[side[:, ::2]] >= 0).all(1)]
    moved = torch.stack([counterpart[both[:, 0]], both[:, 1], counterpart[both[:, 2]]], 1)
    there = other[:, 0] * entities + other[:, 2]
    new = moved[~torch.isin(moved[:, 0] * entities + moved[:, 2], there)]
    return torch.cat([other, new])


def enriched(sides: tuple[Tensor, Tensor], seeds: Tensor, linked: Tensor) -> Tensor:
    """The triples (T, 3) of both graphs among `linked` (n,) entities, each with what the other says of the seeds (P, 2)."""
    second, first = (seeds.new_full((len(linked),), -1) for _ in range(2))
    second[seeds[:, 0]], first[seeds[:, 1]] = seeds[:, 1], seeds[:, 0]
    both = torch.cat([swapped(sides[1], sides[0], first), swapped(sides[0], sides[1], second)])
    kept: Tensor = torch.unique(both[linked[both[:, ::2]].all(1)], dim=0)
    return kept
