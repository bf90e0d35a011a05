"""The decentralized attention network: what must hold whatever its parameters are."""

from typing import Any

import pytest
import torch
from kdzoo_graph.models.dan import DANEncoder, RelationAttention, weights
from kdzoo_graph.models.graph import Graph
from torch import nn

N, R, D = 9, 3, 6


def triples(seed: int = 0, count: int = 16, entities: Any = N) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    heads, tails = (torch.randint(0, entities, (count,), generator=draw) for _ in range(2))
    return torch.stack([heads, torch.randint(0, R, (count,), generator=draw), tails], 1)


def encoder(**settings: Any) -> Any:
    torch.manual_seed(0)
    given = {"layers": 3, "dropout": 0.0, "combine": "multiply", "layer_norm": False, "hops": 1, "self_loop": False} | settings
    made = DANEncoder(relations=R, width=D, **given).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def table(entities: Any = N) -> torch.Tensor:
    return torch.randn(entities, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("combine", ["multiply", "add"])
def test_renaming_the_entities_renames_their_encodings_and_no_more(combine: str) -> None:
    renamed = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    module, facts, rows = encoder(combine=combine, layer_norm=True), triples(), table()
    there = torch.stack([renamed[facts[:, 0]], facts[:, 1], renamed[facts[:, 2]]], 1)
    moved = torch.empty_like(rows)
    moved[renamed] = rows
    before = module(rows, Graph(facts, entities=N, relations=R))
    after = module(moved, Graph(there, entities=N, relations=R))
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new[renamed], old)


def test_the_first_layer_of_an_entity_does_not_read_its_own_row() -> None:
    rows = table().requires_grad_()
    _, first, *_ = encoder()(rows, Graph(triples(), entities=N, relations=R))
    for entity in range(N):
        (grad,) = torch.autograd.grad(first[entity].sum(), rows, retain_graph=True)
        assert not grad[entity].any()


def test_the_self_loop_of_the_released_code_does_read_it() -> None:
    rows = table().requires_grad_()
    _, first, *_ = encoder(self_loop=True)(rows, Graph(triples(), entities=N, relations=R))
    (grad,) = torch.autograd.grad(first[0].square().sum(), rows)
    assert grad[0].any()


@pytest.mark.parametrize("self_loop", [False, True])
def test_what_stands_in_the_row_of_an_unknown_entity_matters_to_nobody(self_loop: bool) -> None:
    known = torch.ones(N, dtype=torch.bool)
    known[3] = False
    module, graph = encoder(self_loop=self_loop), Graph(triples(), entities=N, relations=R, known=known)
    rows = table()
    before = module(rows, graph)
    rows[3] = 100.0
    for old, new in zip(before, module(rows, graph), strict=True):
        assert torch.equal(old, new)
    assert before[-1][3].any(), "it is embedded all the same"


def test_attention_sums_to_one_over_the_neighbors_of_each_entity() -> None:
    graph, module = Graph(triples(), entities=N, relations=R), encoder().layers[1].attention
    scores = module.scores(module.norm_query(table()), module.norm_key(table()), graph.edges)
    total = torch.zeros(N, dtype=torch.float64).index_add(0, graph.edges.row, weights(scores, graph.edges, rows=N))
    neighbors = torch.bincount(graph.edges.row, minlength=N) > 0
    torch.testing.assert_close(total, neighbors.double())


def test_an_isolated_entity_gets_finite_numbers_and_finite_gradients() -> None:
    rows = table(N + 1).requires_grad_()
    module = encoder()
    answers = module(rows, Graph(triples(), entities=N + 1, relations=R))
    assert all(answer[N].isfinite().all() for answer in answers)
    answers[-1].square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in [rows, *module.parameters()])


def test_no_gradient_reaches_an_entity_through_its_question_to_the_relations() -> None:
    heard = table().requires_grad_()
    layer = encoder().layers[1]
    layer.attention = nn.Identity()
    relations = torch.ones(R, D, dtype=torch.float64).mul(torch.arange(1, R + 1)[:, None])
    incidence = Graph(triples(), entities=N, relations=R).incidence

    class Given(nn.Module):
        def forward(self, given: Any, edges: Any) -> Any:
            return given

    layer.attention, layer.combine = Given(), "add"
    out = layer(heard, edges=None, relations=relations, incidence=incidence)
    (grad,) = torch.autograd.grad(out.sum(), heard)
    torch.testing.assert_close(grad, torch.ones_like(heard))


def test_an_entity_without_outgoing_relation_gets_the_bias_of_the_norm() -> None:
    module = RelationAttention(D, 0.0).double()
    nn.init.normal_(module.norm_out.bias)
    facts = torch.tensor([[0, 0, 1]])
    out = module(table(2), torch.ones(R, D, dtype=torch.float64), Graph(facts, entities=2, relations=R).incidence)
    torch.testing.assert_close(out[1], module.norm_out.bias)
