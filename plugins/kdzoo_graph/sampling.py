"""Drawing different rows of a table as negatives, and how often each row was to be expected.

The log-uniform sampler draws row k of n with probability `P(k) = (log(k + 2) - log(k + 1)) / log(n + 1)`, again and again until
as many different rows have come up as are wanted; after T draws row k was to be expected `1 - (1 - P(k))^T` times. It fits
tables sorted by falling frequency, as link prediction's are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Sampler = Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]


def uniform(rows: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` different rows (K,) and the expected count of every row (n,), on the generator's device."""
    device = generator.device
    drawn = torch.randperm(rows, generator=generator, device=device)[:count]
    return drawn, torch.full((rows,), count / rows, dtype=torch.float64, device=device)


def log_uniform(rows: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As `uniform`, low numbers more often."""
    draws = torch.empty(0, dtype=torch.int64, device=generator.device)
    while True:
        shares = torch.rand(4 * count, generator=generator, dtype=torch.float64, device=generator.device)
        draws = torch.cat([draws, ((shares * math.log(rows + 1)).exp().long() - 1).clamp(0, rows - 1)])
        first = _first_times(draws)
        if len(first) >= count:
            break
    tries = int(first[count - 1]) + 1
    return draws[first[:count]], expected_count(rows, tries, device=generator.device)


def expected_count(rows: int, tries: int, *, device: torch.device | str = "cpu") -> Tensor:
    """(n,) how often each row is to be expected among the different ones of `tries` log-uniform draws, float64."""
    number = torch.arange(rows, dtype=torch.float64, device=device)
    probability = ((number + 2) / (number + 1)).log() / math.log(rows + 1)
    return -torch.expm1(tries * torch.log1p(-probability))


def _first_times(draws: Tensor) -> Tensor:
    """Positions at which a number comes up for the first time, in order."""
    order = draws.argsort(stable=True)
    fresh = torch.ones(len(draws), dtype=torch.bool, device=draws.device)
    fresh[1:] = draws[order][1:] != draws[order][:-1]
    return order[fresh].sort().values


SAMPLERS: dict[str, Sampler] = {"uniform": uniform, "log_uniform": log_uniform}
