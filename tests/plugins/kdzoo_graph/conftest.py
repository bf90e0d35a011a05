"""Two tiny worlds in memory: groups that know each other for link prediction, and two copies of a graph for alignment."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kdzoo_graph.data.aligned import aligned
from kdzoo_graph.data.triples import numbered

from kdzoo import registry
from kdzoo.protocol.needs import Needs
from kdzoo.random import Streams


def blocks() -> dict[str, Any]:
    """Three groups of four; everybody in a group knows everybody in the next one, by that group's relation."""
    facts = [(f"{a}{i}", f"{a}{b}", f"{b}{j}") for a, b in ("ab", "bc", "ca") for i in range(4) for j in range(4)]
    return {"train": [f for n, f in enumerate(facts) if n % 5], "validation": facts[::10], "test": facts[5::10]}


def copies(entities: int = 10) -> dict[str, Any]:
    """A random graph and a copy of it under other numbers; the first five pairs are seeds, the others the test."""
    draw = torch.Generator().manual_seed(1)
    ends = torch.stack([torch.randperm(entities, generator=draw) for _ in range(6)], 1).view(-1, 2)
    ends = ends[ends[:, 0] != ends[:, 1]]
    kinds = torch.randint(0, 3, (len(ends),), generator=draw)
    first = torch.stack([ends[:, 0], kinds, ends[:, 1]], 1)
    pairs = torch.stack([torch.arange(entities), torch.arange(entities) + entities], 1)
    return {
        "triples_1": first,
        "triples_2": first + torch.tensor([entities, 3, entities]),
        "seeds": pairs[:5],
        "test": pairs[5:],
    }


class Blocks:
    kdzoo_kind = "data"

    def load(self, root: Any = None) -> Any:
        return numbered("blocks", blocks())


class Copies:
    kdzoo_kind = "data"

    def load(self, root: Any = None) -> Any:
        return aligned("copies", copies())


@pytest.fixture(autouse=True)
def worlds() -> None:
    """The tiny worlds by name."""
    registry.register("data", "blocks", Blocks)
    registry.register("data", "copies", Copies)


@pytest.fixture
def copied_graphs() -> Any:
    return copies()


@pytest.fixture
def make_task() -> Callable[..., Any]:
    """An opened task: `make_task(LinkPrediction, "blocks")`; data by name, or a source."""

    def make(kind: Any, data: Any, root: Any = None, **settings: Any) -> Any:
        source = registry.get("data", data)() if isinstance(data, str) else data
        task = kind(data=source, **settings)
        task.open(needs=Needs(), streams=Streams(0), device=torch.device("cpu"), root=root)
        return task

    return make
