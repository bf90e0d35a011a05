"""What is read out of an encoder, and how it is compared: link scores, or the similarity of entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.functional.float32 import in_float32
from kdzoo_graph.models.decoders import DECODERS, scores
from kdzoo_graph.models.segments import edge_dots

Readout = Literal["last", "input_and_last", "layers", "input_and_layers"]
"""Which of an encoder's answers an entity's vector is made of: the input table, the layers after it, or only the last one."""
Decoder = Literal["transe", "distmult", "complex", "conve"]


def parts(heard: Sequence[Tensor], readout: Readout) -> list[Tensor]:
    """The answers that `readout` names; an encoder without layers has only its table."""
    table, *layers = heard
    read = layers if readout.endswith("layers") else layers[-1:]
    return [table, *read] if readout.startswith("input") or not layers else read


def width_of(width: int, *, layers: int, readout: Readout) -> int:
    """Width of an entity's vector."""
    return width * len(parts([torch.empty(0)] * (layers + 1), readout))


@in_float32
def vectors(answers: Sequence[Tensor], *, part_by_part: bool) -> Tensor:
    """Unit vectors (..., D) from an encoder's answers (..., d); `part_by_part` gives each answer the same length before."""
    return F.normalize(torch.cat([F.normalize(a, dim=-1) for a in answers] if part_by_part else list(answers), -1), dim=-1)


class Queried(nn.Module):
    """The vectors of the queried entities. A module of its own, so that they, and who they belong to, can be tapped."""

    def __init__(self, *, part_by_part: bool) -> None:
        super().__init__()
        self.part_by_part = part_by_part

    def forward(self, entities: Tensor, answers: Sequence[Tensor]) -> Tensor:
        return vectors([answer[entities] for answer in answers], part_by_part=self.part_by_part)


class LinkHead(nn.Module):
    """Scores of candidate tails for (head, relation) queries, as in decentRL: a decoder, and an output table of its own.

    Args:
        entities, relations: rows of the output table and of the relation table; width: of an entity's vector, D.
        dropout: of the head's vector, of the relation's and of the prediction.
    """

    pooled = "prediction"

    def __init__(self, *, entities: int, relations: int, width: int, decoder: Decoder, dropout: float) -> None:
        super().__init__()
        self.queried = Queried(part_by_part=False)
        self.relations = nn.Parameter(nn.init.xavier_uniform_(torch.empty(relations, width)))
        self.decoder, self.dropout, self.prediction = DECODERS[decoder](width), nn.Dropout(dropout), nn.Dropout(dropout)
        self.output = nn.Parameter(nn.init.xavier_uniform_(torch.empty(entities, width)))
        self.bias = nn.Parameter(torch.zeros(entities))

    def forward(self, answers: Sequence[Tensor], queries: Tensor, candidates: Tensor | None = None) -> Tensor:
        head = self.queried(queries[:, 0], answers)
        relation = F.normalize(self.relations[queries[:, 1]], dim=-1)
        prediction = self.prediction(self.decoder(self.dropout(head), self.dropout(relation)))
        table, bias = (self.output, self.bias) if candidates is None else (self.output[candidates], self.bias[candidates])
        out: Tensor = scores(prediction, table, bias)
        return out


class SimilarityHead(nn.Module):
    """Cosines of entities: of the left one of each queried pair with the candidates, and within further pairs."""

    pooled = "queried"

    def __init__(self) -> None:
        super().__init__()
        self.queried = Queried(part_by_part=True)

    def forward(
        self, answers: Sequence[Tensor], pairs: Tensor, candidates: Tensor, others: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """`pairs` (B, 2), `candidates` (C,), `others` (B, K, 2) -> (B, C) and (B, K)."""
        asked = self.queried(pairs, answers)
        logits = cosines(asked[:, 0], vectors([answer[candidates] for answer in answers], part_by_part=True))
        if others is None:
            return logits, None
        table = vectors(answers, part_by_part=True)
        return logits, edge_dots(table, table, *others.flatten(0, 1).unbind(1)).view(others.shape[:2])


@in_float32
def cosines(left: Tensor, right: Tensor) -> Tensor:
    """Inner products of unit vectors: (B, D), (C, D) -> (B, C)."""
    return left @ right.mT
