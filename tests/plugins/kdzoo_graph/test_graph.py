"""Graphs made of triples."""

from typing import Any

import pytest
import torch
from kdzoo_graph.data.hops import two_hops
from kdzoo_graph.models.graph import Graph

from kdzoo.errors import CapabilityError

# 0 -a-> 1 -a-> 2, 1 -b-> 0, 3 -b-> 3, and 4 alone
TRIPLES = torch.tensor([[0, 0, 1], [1, 0, 2], [1, 1, 0], [3, 1, 3]])


def graph(**settings: Any) -> Graph:
    return Graph(TRIPLES, entities=5, relations=2, **settings)


def pairs(edges: Any) -> Any:
    return list(zip(edges.row.tolist(), edges.col.tolist(), strict=True))


def test_neighbors_are_undirected_counted_once_and_never_the_entity_itself() -> None:
    assert pairs(graph().edges) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    torch.testing.assert_close(graph().edges.value, torch.full((4,), 2**-0.5, dtype=torch.float64))


def test_the_parity_graph_has_a_loop_of_no_worth_at_every_entity() -> None:
    looped = graph().looped
    loops = looped.row == looped.col
    assert looped.row[loops].tolist() == [0, 1, 2, 3, 4]
    assert not looped.value[loops].any()
    assert len(looped) == len(graph().edges) + 5


def test_relations_belong_to_their_heads() -> None:
    assert pairs(graph().incidence) == [(0, 0), (1, 0), (1, 1), (3, 1)]
    assert graph().incidence.value.tolist() == [1.0, 0.5, 0.5, 1.0]


def test_nobody_looks_at_an_unknown_entity_and_its_row_reads_zero() -> None:
    world = graph(known=torch.tensor([True, True, False, True, True]))
    assert pairs(world.senders(world.edges)) == [(0, 1), (1, 0), (2, 1)]
    assert not world.rows(torch.ones(5, 3))[2].any()


def test_two_hops_lead_where_no_triple_does() -> None:
    chain = torch.tensor([[i, i, i + 1] for i in range(9)])  # every pair of relations occurs once
    far = two_hops(chain, entities=10, relations=9)
    assert len(far) == 8 - 5, "the five most frequent pairs of relations are left out"
    assert ((far[:, 1] - far[:, 0]) == 2).all()
    closed = torch.cat([chain, torch.stack([far[:, 0], far[:, 0], far[:, 1]], 1)])
    again = two_hops(closed, entities=10, relations=9)
    assert not torch.isin(again[:, 0] * 10 + again[:, 1], far[:, 0] * 10 + far[:, 1]).any()


def test_a_graph_without_two_hops_says_so() -> None:
    with pytest.raises(CapabilityError, match=r"no two-hop edges: set student\.hops=1"):
        _ = graph().far_edges
