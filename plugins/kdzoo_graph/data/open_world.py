"""Open worlds: some entities are hidden in training and come back, with all their triples, in the test.

As in decentRL: every training triple that touches a hidden entity is taken away; at test the whole training graph is there, and
an entity that was hidden is embedded from its neighbors without retraining.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdzoo.random import Streams
from kdzoo_graph.data.triples import Triples

FIXED_SEED = 0


@dataclass(frozen=True)
class World:
    """What link prediction is done on.

    Attributes:
        triples: the parts to train, validate and test on.
        known: (n,) bool, whether a training triple touches an entity.
        whole: (T, 3) the triples of the graph at test.
    """

    triples: Triples
    known: Tensor
    whole: Tensor


def closed(triples: Triples) -> World:
    """Everything that is there at test is there in training."""
    return World(triples, touched(triples.train, len(triples.entities)), triples.train)


def opened(triples: Triples, share: float, *, split: int) -> World:
    """Hide a share of the entities, the same ones whatever the seed of the run; `split` draws others.

    Those test triples are left that join a known entity to one that is not, by a relation that training has; and the validation
    triples among known entities.
    """
    count = len(triples.entities)
    there = torch.ones(count, dtype=torch.bool)
    there[Streams(FIXED_SEED).permutation(count, "open world", split)[: round(share * count)]] = False
    train = triples.train[there[triples.train[:, ::2]].all(1)]
    known = touched(train, count)
    seen = torch.zeros(len(triples.relations), dtype=torch.bool)
    seen[train[:, 1]] = True
    validation = triples.validation[known[triples.validation[:, ::2]].all(1) & seen[triples.validation[:, 1]]]
    test = triples.test[(known[triples.test[:, ::2]].sum(1) == 1) & seen[triples.test[:, 1]]]
    return World(replace(triples, train=train, validation=validation, test=test), known, triples.train)


def touched(triples: Tensor, entities: int) -> Tensor:
    """(n,) bool, whether any of the triples touches an entity."""
    known = torch.zeros(entities, dtype=torch.bool)
    known[triples[:, ::2].flatten()] = True
    return known
