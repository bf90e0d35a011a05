"""All right answers of link queries, so that a filtered rank can leave out those that are not being asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """For query q the right candidates are `candidate[begin[q] : begin[q] + count[q]]`."""

    begin: Tensor
    count: Tensor
    candidate: Tensor

    @classmethod
    def of(cls, queries: Tensor, facts: Tensor, *, relations: int, place: Tensor) -> Answers:
        """Look the queries (Q, 2) of head and relation up in the facts (F, 3).

        Args:
            place: entity -> its position among the candidates, -1 for none.
        """
        facts = facts[place[facts[:, 2]] >= 0]
        codes, order = (facts[:, 0] * relations + facts[:, 1]).sort()
        asked = queries[:, 0] * relations + queries[:, 1]
        begin, end = torch.searchsorted(codes, asked), torch.searchsorted(codes, asked, right=True)
        return cls(begin, end - begin, place[facts[order, 2]])

    def mask(self, index: Tensor, candidates: int) -> Tensor:
        """(B, C) bool: which candidates are right answers of the queries `index` (B,)."""
        count = self.count[index]
        row = torch.repeat_interleave(torch.arange(len(index), device=index.device), count)
        within = torch.arange(len(row), device=index.device) - (count.cumsum(0) - count)[row]
        mask = torch.zeros(len(index), candidates, dtype=torch.bool, device=index.device)
        mask[row, self.candidate[self.begin[index][row] + within]] = True
        return mask
