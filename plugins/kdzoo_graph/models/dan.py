"""DAN, the decentralized attention network: an entity is encoded from its neighbors and never from its own row.

Guo, Zhuang, Sun, Chen, Hu, Zhang, Chen, "Decentralized Knowledge Graph Representation Learning" (arXiv 2010.08114), later
"Distributed Representations of Entities in Open-World Knowledge Graphs" (Knowledge-Based Systems, 2024). Facts of the model are
those of the released code.

    layer 0    g_0 = C(mean_j X_j)                              weighted by softmax_j leaky(2 a_ij) over the neighbors j of i
    layer k    g_k = C(sum_j alpha_ij (W LN(g_{k-2}))_j) + g_0 + g_{k-1}                              g_{-1} = X
               alpha_i = softmax_j leaky(a_ij (tanh(w_1 . LN(g_{k-1})_i) + tanh(w_2 . LN(g_{k-2})_j)))
    relations  C(e) = e * D(r) or e + 0.6 D(r), r = attention of e (no gradient) over the relations that leave the entity

a_ij = 1/sqrt(deg_i deg_j). So layer 1 scores the neighbors' own rows against the neighborhood as a whole. Released settings:
alignment 4 layers of 512, `add`, a LayerNorm after each layer, neighbors and two-hop neighbors in turn; entity prediction 2
layers of 512, `multiply`, dropout 0.3 (WN18RR 0.5). Time O(L(E d + n d^2)), memory O(L n d + E).

Deviations: no self-loop (the released code adds one of weight 0 to every softmax, and so leaks the entity's own row;
`self_loop: true` is for parity); where only the sums of a d x d matrix enter a score, a vector is learned, drawn as those sums.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.functional.float32 import in_float32
from kdzoo_graph.models.graph import Edges, Graph
from kdzoo_graph.models.segments import aggregate, segment_softmax

SLOPE, RELATION_SHARE, EPS = 0.2, 0.6, 1e-6
Combine = Literal["multiply", "add"]
norm: Callable[[int], nn.LayerNorm] = functools.partial(nn.LayerNorm, eps=EPS)


@in_float32
def weights(scores: Tensor, edges: Edges, *, rows: int) -> Tensor:
    """Attention over the edges of each row, `softmax_j(leaky(score_ij))`: (E,)."""
    return segment_softmax(F.leaky_relu(scores, SLOPE), edges.row, rows)


def attend(scores: Tensor, values: Tensor, edges: Edges, *, rows: int) -> Tensor:
    """`sum_j weight_ij value_j`: scores (E,), values (m, d) -> (rows, d); 0 for a row without an edge."""
    return aggregate(weights(scores, edges, rows=rows), values, edges.row, edges.col, rows=rows)


class NeighborMean(nn.Module):
    """The first layer's attention: a mean over the neighbors that only their degrees weigh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_key, self.value, self.norm_out = norm(width), dense(width), norm(width)

    def forward(self, key: Tensor, edges: Edges) -> Tensor:
        values = self.value(self.norm_key(key))
        out: Tensor = self.norm_out(attend(2 * edges.value.to(values.dtype), values, edges, rows=len(key)))
        return out


class NeighborAttention(nn.Module):
    """Attention over the neighbors' `key`, asked by what the neighborhood gave so far, `query`. Both (n, d)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm_query, self.norm_key, self.value, self.norm_out = norm(width), norm(width), dense(width), norm(width)
        self.score_query, self.score_key, self.dropout = summed(width), summed(width), nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, edges: Edges) -> Tensor:
        query, key = self.norm_query(query), self.norm_key(key)
        out: Tensor = self.norm_out(attend(self.scores(query, key, edges), self.value(key), edges, rows=len(query)))
        return out

    def scores(self, query: Tensor, key: Tensor, edges: Edges) -> Tensor:
        """(E,) of normalized queries and keys."""
        asks = self.dropout(self.score_query(query).tanh().squeeze(1))
        offers = self.dropout(self.score_key(key).tanh().squeeze(1))
        return _joined(asks, offers, edges)


class RelationAttention(nn.Module):
    """Attention of entities (n, d) over the relations (R, d) that leave them; an entity without any gets the norm's bias."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm_key, self.value, self.norm_out = norm(width), dense(width), norm(width)
        self.score_query, self.score_key, self.dropout = dense(width), dense(width), nn.Dropout(dropout)

    def forward(self, query: Tensor, relations: Tensor, edges: Edges) -> Tensor:
        key = self.norm_key(relations)
        out: Tensor = self.norm_out(attend(self.scores(query, key, edges), self.value(key), edges, rows=len(query)))
        return out

    def scores(self, query: Tensor, key: Tensor, edges: Edges) -> Tensor:
        """(E,) of queries and normalized keys."""
        asks = self.dropout((self.score_query(query) * query).sum(1).tanh())
        offers = self.dropout((self.score_key(key) * key).sum(1).tanh())
        return _joined(asks, offers, edges)


def _joined(asks: Tensor, offers: Tensor, edges: Edges) -> Tensor:
    return edges.value.to(asks.dtype) * (asks[edges.row] + offers[edges.col])


class Layer(nn.Module):
    """One layer: what the neighbors say, and what the relations make of it."""

    def __init__(self, attention: nn.Module, *, width: int, dropout: float, combine: Combine) -> None:
        super().__init__()
        self.attention, self.relations, self.mix = attention, RelationAttention(width, dropout), dense(width)
        self.combine = combine

    def forward(self, *inputs: Tensor, edges: Edges, relations: Tensor, incidence: Edges) -> Tensor:
        heard = self.attention(*inputs, edges)
        said = self.mix(self.relations(heard.detach(), relations, incidence))
        out: Tensor = heard * said if self.combine == "multiply" else heard + RELATION_SHARE * said
        return out


def dense(width: int) -> nn.Linear:
    """A square linear layer as TensorFlow starts it: Glorot-uniform weights, no bias at first."""
    layer = nn.Linear(width, width)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def summed(width: int) -> nn.Linear:
    """What the sum over the outputs of `dense` is: one vector and one number."""
    layer = nn.Linear(width, 1)
    with torch.no_grad():
        layer.weight.copy_(dense(width).weight.sum(0, keepdim=True))
    nn.init.zeros_(layer.bias)
    return layer


class DANEncoder(nn.Module):
    """The stack. Its answer is the input table (n, d), unknown rows at 0, and after it each layer's (n, d)."""

    def __init__(
        self,
        *,
        relations: int,
        width: int,
        layers: int,
        dropout: float,
        combine: Combine,
        layer_norm: bool,
        hops: int,
        self_loop: bool,
    ) -> None:
        super().__init__()
        self.relations = nn.Parameter(nn.init.xavier_uniform_(torch.empty(relations, width)))
        self.hops, self.self_loop = hops, self_loop
        made = [NeighborMean(width), *(NeighborAttention(width, dropout) for _ in range(layers - 1))]
        self.layers = nn.ModuleList(Layer(a, width=width, dropout=dropout, combine=combine) for a in made)
        self.norms = nn.ModuleList(norm(width) if layer_norm else nn.Identity() for _ in made)

    def forward(self, table: Tensor, graph: Graph) -> list[Tensor]:
        heard = [graph.rows(table)]
        for k, (layer, outer) in enumerate(zip(self.layers, self.norms, strict=True)):
            inputs = heard[:1] if k == 0 else [heard[-1], heard[-2]]
            out = layer(*inputs, edges=self._edges(graph, k), relations=self.relations, incidence=graph.incidence)
            heard.append(outer(out if k == 0 else out + heard[1] + heard[-1]))
        return heard

    def _edges(self, graph: Graph, layer: int) -> Edges:
        """The edges of a layer; the first two look at the input table, so only at rows that were trained."""
        near = graph.looped if self.self_loop else graph.edges
        edges = graph.far_edges if self.hops == 2 and layer % 2 else near
        return graph.senders(edges) if layer < 2 else edges
