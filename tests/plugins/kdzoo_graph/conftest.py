"""Two tiny worlds in memory: groups that know each other for link prediction, and two copies of a graph for alignment."""

from importlib import import_module

import pytest
import torch
from kdzoo_graph.aligned import aligned
from kdzoo_graph.triples import numbered

from kdzoo import registry
from kdzoo.registry.entries import LOCAL

PLUGINS = {
    "tasks": {"link_prediction": "link_prediction:LinkPrediction", "entity_alignment": "entity_alignment:EntityAlignment"},
    "data": {
        "triples": "sources:TriplesFolder",
        "umls": "sources:UMLS",
        "kinships": "sources:Kinships",
        "nations": "sources:Nations",
        "fb15k237": "sources:FB15k237",
        "wn18rr": "sources:WN18RR",
        "dbp15k": "dbp15k:DBP15K",
    },
    "models": {name: f"models:{name}" for name in ("dan", "gcn", "gat", "entity_table")},
    "methods": {
        "auto_distill": "auto_distill:AutoDistill",
        "auto_distill_infonce": "ablations:AutoDistillInfoNCE",
        "auto_distill_l2": "ablations:AutoDistillL2",
    },
    "teachers": {"self_table": "self_table:SelfTable"},
}


def blocks():
    """Three groups of four; everybody in a group knows everybody in the next one, by that group's relation."""
    facts = [(f"{a}{i}", f"{a}{b}", f"{b}{j}") for a, b in ("ab", "bc", "ca") for i in range(4) for j in range(4)]
    return {"train": [f for n, f in enumerate(facts) if n % 5], "validation": facts[::10], "test": facts[5::10]}


def copies(entities=10):
    """A random graph and a copy of it under other numbers; the first 4 pairs are seeds, the next 4 the test."""
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

    def load(self, root=None):
        return numbered("blocks", blocks())


class Copies:
    kdzoo_kind = "data"

    def load(self, root=None):
        return aligned("copies", copies())


@pytest.fixture(autouse=True)
def plugins():
    """The family's plugins under their names, as far as no entry point has them yet, and the tiny worlds."""
    before = dict(LOCAL)
    for kind, named in PLUGINS.items():
        for name, target in named.items():
            if name not in registry.discover(kind):
                module, _, attribute = target.partition(":")
                registry.register(kind, name, getattr(import_module(f"kdzoo_graph.{module}"), attribute))
    registry.register("data", "blocks", Blocks)
    registry.register("data", "copies", Copies)
    yield
    LOCAL.clear()
    LOCAL.update(before)


@pytest.fixture
def copied_graphs():
    return copies()


@pytest.fixture
def make_task():
    """An opened task: `make_task(LinkPrediction, data=...)`; data by name."""
    from kdzoo.method import Needs
    from kdzoo.random import Streams

    def make(kind, data, root=None, **settings):
        source = registry.get("data", data)() if isinstance(data, str) else data
        task = kind(data=source, **settings)
        task.open(needs=Needs(), streams=Streams(0), device=torch.device("cpu"), root=root)
        return task

    return make
