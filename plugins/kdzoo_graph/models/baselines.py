"""Encoders to compare DAN with: the plain table, GCN and GAT. Each answers with the input table and its layers, all (n, d).

GCN: Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017 (arXiv 1609.02907):
g_k = relu(A g_{k-1} W), A the neighbors and the entity itself, weighed by 1/sqrt((deg_i + 1)(deg_j + 1)).
GAT: Velickovic et al., "Graph Attention Networks", ICLR 2018 (arXiv 1710.10903), one head:
g_k = elu(sum_j softmax_j(leaky(a . W g_i + b . W g_j)) W g_j) over the neighbors and the entity itself.

Both ask with an entity's own vector, which is why an entity that was not there in training is a poor question to them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo_graph.models.dan import attend, dense
from kdzoo_graph.models.graph import Edges, Graph
from kdzoo_graph.models.segments import aggregate


class TableEncoder(nn.Module):
    """No encoder: an entity is its row, trained or not."""

    def forward(self, table: Tensor, graph: Graph) -> list[Tensor]:
        return [table]


class GCNEncoder(nn.Module):
    """Graph convolutions, without relations."""

    def __init__(self, *, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers, self.dropout = nn.ModuleList(dense(width) for _ in range(layers)), nn.Dropout(dropout)

    def forward(self, table: Tensor, graph: Graph) -> list[Tensor]:
        heard = [graph.rows(table)]
        for k, layer in enumerate(self.layers):
            edges = graph.looped if k else graph.senders(graph.looped)
            weight, values = _normalized(edges, graph.entities), layer(self.dropout(heard[-1]))
            heard.append(aggregate(weight.to(values.dtype), values, edges.row, edges.col, rows=graph.entities).relu())
        return heard


class GATEncoder(nn.Module):
    """Graph attention, without relations."""

    def __init__(self, *, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers, self.dropout = nn.ModuleList(dense(width) for _ in range(layers)), nn.Dropout(dropout)
        self.asks = nn.ModuleList(nn.Linear(width, 1) for _ in range(layers))
        self.offers = nn.ModuleList(nn.Linear(width, 1) for _ in range(layers))

    def forward(self, table: Tensor, graph: Graph) -> list[Tensor]:
        heard = [graph.rows(table)]
        for k, (layer, ask, offer) in enumerate(zip(self.layers, self.asks, self.offers, strict=True)):
            edges, values = graph.looped if k else graph.senders(graph.looped), layer(self.dropout(heard[-1]))
            scores = ask(values).squeeze(1)[edges.row] + offer(values).squeeze(1)[edges.col]
            heard.append(F.elu(attend(scores, values, edges, rows=graph.entities)))
        return heard


def _normalized(edges: Edges, entities: int) -> Tensor:
    ones = torch.ones_like(edges.row, dtype=torch.float64)
    degree = ones.new_zeros(entities).index_add(0, edges.row, ones).clamp(min=1)  # bincount would make the host wait
    return (degree[edges.row] * degree[edges.col]).rsqrt()
