"""A knowledge graph as tensors: who neighbors whom, and which relations leave an entity. Static: built once a run.

n entities, R relations, triples (T, 3) of head, relation, tail. An edge goes from `col` (who is looked at) to `row` (who
looks); edges are sorted by row, then by col.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError


@dataclass(frozen=True)
class Edges:
    """`row` <- `col` (E,) int64 and what the edge is worth, `value` (E,) in float64."""

    row: Tensor
    col: Tensor
    value: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def only(self, kept: Tensor) -> Edges:
        """The edges marked in `kept` (E,)."""
        return Edges(self.row[kept], self.col[kept], self.value[kept])


class Graph:
    """The static context of a graph task.

    Args:
        triples: (T, 3) int64 of head, relation, tail; entities, relations: n and R.
        known: (n,) bool, the entities that were there in training. Nobody looks at the untrained rows that the others have in
            the input table (`senders`, `rows`). None: all.
        far: gives the (P, 2) pairs of entities two triples apart (`hops.two_hops`) to encoders that look that far.
    """

    def __init__(
        self,
        triples: Tensor,
        *,
        entities: int,
        relations: int,
        known: Tensor | None = None,
        far: Callable[[], Tensor] | None = None,
    ) -> None:
        self.triples, self.entities, self.relations, self.far = triples, entities, relations, far
        self.known = None if known is None or bool(known.all()) else known

    @cached_property
    def edges(self) -> Edges:
        """j neighbors i if a triple joins them, whichever way round: worth 1/sqrt(deg_i deg_j). Once each; no loops."""
        return self._undirected(self.triples[:, ::2])

    @cached_property
    def looped(self) -> Edges:
        """`edges` and a loop worth 0 at every entity."""
        everyone = torch.arange(self.entities, device=self.triples.device)
        row, col = torch.cat([self.edges.row, everyone]), torch.cat([self.edges.col, everyone])
        value = torch.cat([self.edges.value, self.edges.value.new_zeros(self.entities)])
        order = (row * self.entities + col).argsort()
        return Edges(row[order], col[order], value[order])

    @cached_property
    def far_edges(self) -> Edges:
        """As `edges`, between entities two triples apart."""
        if self.far is None:
            raise CapabilityError("this task's graph has no two-hop edges: set student.hops=1, or use entity_alignment.")
        return self._undirected(self.far())

    @cached_property
    def incidence(self) -> Edges:
        """Entity <- each relation of which it is a head: worth 1 / their number."""
        pairs = torch.unique(self.triples[:, :2], dim=0)
        count = torch.bincount(pairs[:, 0], minlength=self.entities).double()
        return Edges(pairs[:, 0].contiguous(), pairs[:, 1].contiguous(), count[pairs[:, 0]].reciprocal())

    def senders(self, edges: Edges) -> Edges:
        """The edges whose `col` has a trained row in the input table."""
        return edges if self.known is None else edges.only(self.known[edges.col])

    def rows(self, table: Tensor) -> Tensor:
        """The input table (n, d) with the rows that were never trained at 0."""
        return table if self.known is None else table.masked_fill(~self.known[:, None], 0.0)

    def _undirected(self, pairs: Tensor) -> Edges:
        start, end = pairs[pairs[:, 0] != pairs[:, 1]].unbind(1)
        codes = torch.unique(torch.cat([start * self.entities + end, end * self.entities + start]))
        row, col = codes // self.entities, codes % self.entities
        degree = torch.bincount(row, minlength=self.entities).double()
        return Edges(row, col, (degree[row] * degree[col]).rsqrt())
