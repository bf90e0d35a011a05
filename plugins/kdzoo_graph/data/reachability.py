"""Whether training says anything of what validation and test ask about."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.errors import RecipeError
from kdzoo_graph.data.open_world import World, touched


def check(world: World, *, keep: bool, wide: bool) -> None:
    """Refuse a world that asks about what nothing connects to, or that asks nothing.

    Args:
        keep: entities and relations without a training triple are ranked like the others.
        wide: the world is open, so an entity need only be connected in the graph at test.
    """
    triples = world.triples
    if not len(triples.train) or not len(triples.test):
        raise RecipeError(
            f"{triples.name}: hiding this share of its {len(triples.entities)} entities leaves {len(triples.train)} triples to "
            f"train on and {len(triples.test)} to test on; choose another task.open_world or task.open_split."
        )
    if keep:
        return
    asked = torch.cat([triples.validation, triples.test])
    connected = touched(world.whole, len(triples.entities)) if wide else world.known
    _refuse("entities", asked[:, ::2].flatten().unique(), connected, triples.entities, triples.name)
    relations = torch.zeros(len(triples.relations), dtype=torch.bool)
    relations[triples.train[:, 1]] = True
    _refuse("relations", asked[:, 1].unique(), relations, triples.relations, triples.name)


def _refuse(what: str, asked: Tensor, connected: Tensor, names: object, source: str) -> None:
    alone = asked[~connected[asked]].tolist()
    if alone:
        shown = ", ".join(repr(names[number]) for number in alone[:3])  # type: ignore[index]
        raise RecipeError(
            f"{source}: validation or test asks about {len(alone)} {what} that no training triple has ({shown}"
            f"{', ...' if len(alone) > 3 else ''}), so nothing can be learned about them; remove these triples, or set "
            "task.unseen=keep to rank them like the others."
        )
