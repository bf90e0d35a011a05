"""Two knowledge graphs in one space of numbers, and which of their entities are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo import digests
from kdzoo.errors import RecipeError

SIDES = ("triples_1", "triples_2")


@dataclass(frozen=True)
class Aligned:
    """Two graphs with known equivalents.

    Attributes:
        sides: the triples (T, 3) of each graph; the entities of one are not in the other, nor are the relations.
        known_sides: the triples that training has: the same, unless the world is open.
        seeds, test: (P, 2) equivalents, the first graph's entity first. In an open world the test is those pairs of which
            training has no triple, and seeds without one are left out.
        candidates: (C,) entities of the second graph to choose from in the test: all of the published test.
        linked: (n,) bool, entities that are in a seed or a test pair.
    """

    name: str
    entities: int
    relations: int
    sides: tuple[Tensor, Tensor]
    known_sides: tuple[Tensor, Tensor]
    seeds: Tensor
    test: Tensor
    candidates: Tensor
    linked: Tensor
    fingerprint: str


def aligned(name: str, full: Mapping[str, Tensor], known: Mapping[str, Tensor] | None = None) -> Aligned:
    """Check and assemble the files of a data set.

    Args:
        full: `triples_1`, `triples_2`, `seeds`, `test`. known: the triples of training, if the world is open.

    Raises:
        RecipeError: an empty part, graphs that share entities, or pairs of entities that are not in their graphs.
    """
    for key in (*SIDES, "seeds", "test"):
        if not len(full[key]):
            raise RecipeError(f"{name} has no {key.replace('_', ' of graph ')}: the file is empty.")
    sides = full[SIDES[0]], full[SIDES[1]]
    of_side = [side[:, ::2].unique() for side in sides]
    shared = of_side[0][torch.isin(of_side[0], of_side[1])]
    if len(shared):
        raise RecipeError(f"{name}: both graphs have entity {int(shared[0])}; number the entities of both graphs in one row.")
    for key in ("seeds", "test"):
        _inside(full[key], of_side, f"{name}, {key}")
    entities, relations = (1 + max(int(side[:, c].max()) for side in sides) for c in (slice(0, None, 2), 1))
    training = sides if known is None else (known[SIDES[0]], known[SIDES[1]])
    there = torch.zeros(entities, dtype=torch.bool)
    there[torch.cat(training)[:, ::2].flatten()] = True
    both = torch.cat([full["seeds"], full["test"]])
    linked = torch.zeros(entities, dtype=torch.bool)
    linked[both.flatten()] = True
    test = full["test"] if known is None else full["test"][~there[full["test"]].any(1)]
    if not len(test):
        raise RecipeError(
            f"{name}: every test pair has triples in training, so this is no open world; set open_world to false."
        )
    return Aligned(
        name=name,
        entities=entities,
        relations=relations,
        sides=sides,
        known_sides=training,
        seeds=full["seeds"][there[full["seeds"]].all(1)],
        test=test,
        candidates=full["test"][:, 1].unique(),
        linked=linked,
        fingerprint=_hash([*full.values(), *(known or {}).values()]),
    )


def _inside(pairs: Tensor, of_side: list[Tensor], where: str) -> None:
    for column, side in enumerate(of_side):
        outside = ~torch.isin(pairs[:, column], side)
        if outside.any():
            row = int(outside.nonzero()[0])
            raise RecipeError(
                f"{where}: pair {row + 1} {tuple(pairs[row].tolist())} names entity {int(pairs[row, column])}, which no triple "
                f"of graph {column + 1} has ({int(outside.sum())} such pairs); correct the pairs, or swap their columns."
            )


def _hash(tensors: list[Tensor]) -> str:
    parts = (f"{tuple(tensor.shape)}".encode() + tensor.numpy().tobytes() for tensor in tensors)
    return digests.of_stream(parts)[: digests.SHORT]
