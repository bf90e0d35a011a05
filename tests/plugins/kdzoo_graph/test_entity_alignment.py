"""The alignment task: its loss, its negatives, what the seeds add to the graphs, and open worlds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kdzoo_graph.data.aligned import aligned
from kdzoo_graph.data.enrich import enriched, swapped
from kdzoo_graph.models.registered import dan
from kdzoo_graph.tasks.entity_alignment import EntityAlignment, contrastive

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.outputs import MAIN, Output, Rows


class Given:
    """A data source of given graphs."""

    def __init__(self, graphs: Any, known: Any = None) -> None:
        self.graphs, self.known = graphs, known

    def load(self, root: Any = None) -> Any:
        return aligned("given", self.graphs, self.known)


def built(task: Any, **settings: Any) -> Any:
    sizes = {"entities": task.graphs.entities, "relations": task.graphs.relations, "classes": 0}
    return dan(**sizes, **{"width": 4, "readout": "layers"} | settings).eval()


def all_of(task: Any, split: Any, train: bool = False) -> Any:
    return next(task.batches(split, [torch.arange(task.size(split))], epoch=0, train=train))


def test_the_loss_pulls_seeds_together_and_pushes_others_to_the_margin() -> None:
    positive, negative = torch.tensor([0.5, 1.5]), torch.tensor([[0.5, 2.0], [1.0, 1.5]])
    loss = contrastive(positive, negative, margin=1.5, weight=0.1)
    torch.testing.assert_close(loss, torch.tensor((0.5 + 1.5 + 0.1 * (1.0 + 0.5)) / 2))


def test_the_task_computes_it_from_cosines(make_task: Callable[..., Any]) -> None:
    task = make_task(EntityAlignment, "copies", negatives=2, negative_weight=0.5)
    vectors = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    output = Output(
        Rows(vectors[:2] @ vectors[2:].T, torch.tensor([1, 0])), heads={"others": (vectors[:2] * vectors[2:]).sum(1, True)}
    )
    squared = (vectors[:, None] - vectors).square().sum(2)
    expected = contrastive(squared[[0, 1], [3, 2]], squared[[0, 1], [2, 3]][:, None], weight=0.5)
    torch.testing.assert_close(task.supervised(output), expected)


def test_seeds_say_of_each_graph_what_the_other_one_knows() -> None:
    first, second = torch.tensor([[0, 0, 1], [1, 0, 2]]), torch.tensor([[3, 1, 4]])
    counterpart = torch.tensor([3, 4, 5, -1, -1, -1])
    assert swapped(first, second, counterpart).tolist() == [[3, 1, 4], [4, 0, 5]], "3 -> 4 was there already"
    seeds = torch.tensor([[0, 3], [1, 4], [2, 5]])
    assert len(enriched((first, second), seeds, torch.ones(6, dtype=torch.bool))) == 4
    linked = torch.tensor([True, True, False, True, True, True])
    assert [1, 0, 2] not in enriched((first, second), seeds, linked).tolist(), "triples of unlinked entities are left out"


def test_negatives_cross_the_graphs_are_never_seeds_and_belong_to_their_sample(make_task: Callable[..., Any]) -> None:
    task = make_task(EntityAlignment, "copies", validation=0.0, negatives=4)
    (batch,) = task.batches("train", [torch.arange(5)], epoch=0, train=True)
    others = batch.extra["others"]
    assert others.shape == (5, 4, 2)
    assert (others[..., 0] < 10).all()
    assert (others[..., 1] >= 10).all()
    seeds = {tuple(pair) for pair in task.pairs["train"].tolist()}
    assert not seeds & {tuple(pair) for pair in others.flatten(0, 1).tolist()}
    (turned,) = task.batches("train", [torch.tensor([3, 0])], epoch=0, train=True)
    assert torch.equal(turned.extra["others"], others[[3, 0]])
    (later,) = task.batches("train", [torch.arange(5)], epoch=1, train=True)
    assert not torch.equal(later.extra["others"], others)


def test_micro_batches_keep_the_negatives_of_their_samples_and_all_candidates(make_task: Callable[..., Any]) -> None:
    task = make_task(EntityAlignment, "copies", validation=0.0, negatives=4)
    (batch,) = task.batches("train", [torch.arange(5)], epoch=0, train=True)
    pieces = task.split(batch, 2)
    assert torch.equal(torch.cat([piece.extra["others"] for piece in pieces]), batch.extra["others"])
    assert all(torch.equal(piece.extra["candidates"], batch.extra["candidates"]) for piece in pieces)


def test_the_validation_seeds_are_the_same_whatever_the_seed_and_add_nothing_to_the_graph(
    make_task: Callable[..., Any],
) -> None:
    task = make_task(EntityAlignment, "copies", negatives=2, validation=0.4)
    assert [task.size(split) for split in ("train", "validation", "test")] == [3, 2, 5]
    graphs = task.graphs
    assert len(task.context().triples) == len(enriched(graphs.sides, task.pairs["train"], graphs.linked))
    batch = all_of(task, "validation")
    assert torch.equal(batch.extra["candidates"][batch.target], task.pairs["validation"][:, 1])
    assert set(graphs.candidates.tolist()) < set(batch.extra["candidates"].tolist())


def test_two_copies_that_share_all_rows_align_perfectly(make_task: Callable[..., Any], copied_graphs: Any) -> None:
    """With equal rows for equal entities and relations, an encoder cannot tell a graph from its copy."""
    task = make_task(EntityAlignment, Given(copied_graphs), negatives=2, validation=0.0)
    model = built(task, layers=2, hops=2)
    with torch.no_grad():
        model.table.weight[10:] = model.table.weight[:10]
        model.encoder.relations[3:] = model.encoder.relations[:3]
    sides = task.graphs.sides
    task.worlds["whole"] = task._graph(torch.cat(sides), sides, torch.ones(20, dtype=torch.bool))
    meter, batch = task.meter("test"), all_of(task, "test")
    meter.update(task.forward(model, batch, MAIN), batch)
    assert meter.result()["hits1"] == meter.result()["csls_hits1"] == 1.0


def test_in_an_open_world_hidden_pairs_are_embedded_from_the_whole_graphs(
    make_task: Callable[..., Any], copied_graphs: Any
) -> None:
    hidden = copied_graphs["test"][:2]
    keys = ("triples_1", "triples_2")
    known = {k: copied_graphs[k][~torch.isin(copied_graphs[k][:, ::2], hidden).any(1)] for k in keys}
    task = make_task(EntityAlignment, Given(copied_graphs, known), negatives=2, validation=0.0)
    assert task.pairs["test"].tolist() == hidden.tolist()
    assert not torch.isin(task.context().triples[:, ::2], hidden).any()
    model, batch = built(task), all_of(task, "test")
    before = task.forward(model, batch, MAIN).rows.logits
    with torch.no_grad():
        model.table.weight[hidden.flatten()] = 100.0
    assert torch.equal(task.forward(model, batch, MAIN).rows.logits, before)


def test_what_cannot_be_done_is_refused_in_words(make_task: Callable[..., Any]) -> None:
    with pytest.raises(RecipeError, match=r"task\.validation=0\.95 leaves no seed to train on"):
        make_task(EntityAlignment, "copies", validation=0.95)
    with pytest.raises(RecipeError, match=r"task\.negatives is 10, but one of the graphs has only 10 entities"):
        make_task(EntityAlignment, "copies")
    with pytest.raises(ValueError, match="margin must be > 0, got 0"):
        EntityAlignment(data=Given({}), margin=0.0)
    task = make_task(EntityAlignment, "copies", negatives=2)
    with pytest.raises(CapabilityError, match=r"an aligner must return .* this model returned a Tensor"):
        task.forward(lambda *_: torch.zeros(2, 2), task.example(), MAIN)
