"""Graph models: an input table, an encoder over the whole graph, and a head for the task.

A model is called with the graph, the queries and what else the task says. The task tells it `entities`, `relations` (reciprocal
ones included) and `classes`: how many entities can be answers of a link query, or 0 where entities are only compared. Its taps:
`table` (n, d), `entities` and `queried`, the entities asked about and their unit vectors, and `pooled`, what is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdzoo.ranges import at_least, at_least_and_below
from kdzoo_graph.models.baselines import GATEncoder, GCNEncoder, TableEncoder
from kdzoo_graph.models.dan import Combine, DANEncoder
from kdzoo_graph.models.graph import Graph
from kdzoo_graph.models.heads import Decoder, LinkHead, Readout, SimilarityHead, parts, width_of


class InputTable(nn.Module):
    """One row an entity, (n, d), Glorot-uniform. A module of its own, so that it can be tapped."""

    def __init__(self, entities: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(entities, width)))

    def forward(self) -> Tensor:
        return self.weight


class GraphModel(nn.Module):
    """Called with the graph and a task's queries; answers what its head answers."""

    input_table = "table.weight"

    def __init__(self, table: InputTable, encoder: nn.Module, head: LinkHead | SimilarityHead, *, readout: Readout) -> None:
        super().__init__()
        self.table, self.encoder, self.head, self.readout = table, encoder, head, readout
        self.taps: Mapping[str, str] = {
            "table": "table",
            "entities": "head.queried:input",
            "queried": "head.queried",
            "pooled": f"head.{head.pooled}",
        }

    def forward(self, graph: Graph, *queries: Tensor | None) -> Any:
        return self.head(parts(self.encoder(self.table(), graph), self.readout), *queries)


def dan(
    *,
    entities: int,
    relations: int,
    classes: int,
    width: int = 64,
    layers: int = 2,
    readout: Readout = "input_and_last",
    decoder: Decoder = "complex",
    dropout: float = 0.3,
    decoder_dropout: float = 0.5,
    combine: Combine = "multiply",
    layer_norm: bool = False,
    hops: Literal[1, 2] = 1,
    self_loop: bool = False,
) -> GraphModel:
    """The decentralized attention network; defaults are the released ones for entity prediction, but for the width (512).

    Args:
        width: of a row and of each layer; layers: at least 1.
        readout: what an entity's vector is made of. With `input` its own row is a part, which an entity that was not there in
            training does not have (0 stands there): leave it out for an open world.
        decoder, decoder_dropout: for link prediction.
        dropout: of the attention scores.
        combine: how the relations act on what the neighbors say.
        layer_norm: a LayerNorm after each layer. hops: 2 alternates neighbors and two-hop neighbors. self_loop: as released.
    """
    at_least(1, width=width, layers=layers)
    at_least_and_below(0, 1, dropout=dropout, decoder_dropout=decoder_dropout)
    encoder = DANEncoder(
        relations=relations,
        width=width,
        layers=layers,
        dropout=dropout,
        combine=combine,
        layer_norm=layer_norm,
        hops=hops,
        self_loop=self_loop,
    )
    size = width_of(width, layers=layers, readout=readout)
    head = _head(classes, relations, size, decoder, decoder_dropout)
    return GraphModel(InputTable(entities, width), encoder, head, readout=readout)


def gcn(
    *,
    entities: int,
    relations: int,
    classes: int,
    width: int = 64,
    layers: int = 2,
    readout: Readout = "input_and_last",
    decoder: Decoder = "complex",
    dropout: float = 0.3,
    decoder_dropout: float = 0.5,
) -> GraphModel:
    """Graph convolutions; settings as `dan`, dropout of each layer's input."""
    at_least(1, width=width, layers=layers)
    at_least_and_below(0, 1, dropout=dropout, decoder_dropout=decoder_dropout)
    head = _head(classes, relations, width_of(width, layers=layers, readout=readout), decoder, decoder_dropout)
    encoder = GCNEncoder(width=width, layers=layers, dropout=dropout)
    return GraphModel(InputTable(entities, width), encoder, head, readout=readout)


def gat(
    *,
    entities: int,
    relations: int,
    classes: int,
    width: int = 64,
    layers: int = 2,
    readout: Readout = "input_and_last",
    decoder: Decoder = "complex",
    dropout: float = 0.3,
    decoder_dropout: float = 0.5,
) -> GraphModel:
    """Graph attention with one head; settings as `dan`, dropout of each layer's input."""
    at_least(1, width=width, layers=layers)
    at_least_and_below(0, 1, dropout=dropout, decoder_dropout=decoder_dropout)
    head = _head(classes, relations, width_of(width, layers=layers, readout=readout), decoder, decoder_dropout)
    encoder = GATEncoder(width=width, layers=layers, dropout=dropout)
    return GraphModel(InputTable(entities, width), encoder, head, readout=readout)


def entity_table(
    *,
    entities: int,
    relations: int,
    classes: int,
    width: int = 64,
    decoder: Decoder = "complex",
    decoder_dropout: float = 0.5,
) -> GraphModel:
    """No encoder: each entity is its row of the input table. Settings as `dan`."""
    at_least(1, width=width)
    at_least_and_below(0, 1, decoder_dropout=decoder_dropout)
    head = _head(classes, relations, width, decoder, decoder_dropout)
    return GraphModel(InputTable(entities, width), TableEncoder(), head, readout="last")


def _head(classes: int, relations: int, width: int, decoder: Decoder, dropout: float) -> LinkHead | SimilarityHead:
    if not classes:
        return SimilarityHead()
    return LinkHead(entities=classes, relations=relations, width=width, decoder=decoder, dropout=dropout)
