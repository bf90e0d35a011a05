"""The task: queries, graphs, candidates, open worlds, and what it refuses."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kdzoo_graph.data.triples import numbered
from kdzoo_graph.models.registered import dan, entity_table
from kdzoo_graph.tasks.link_prediction import LinkPrediction

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.outputs import MAIN


class Facts:
    """A data source of given parts."""

    def __init__(self, **parts: Any) -> None:
        self.parts = parts

    def load(self, root: Any = None) -> Any:
        return numbered("facts", self.parts)


class Narrow(torch.nn.Module):
    """A model of a smaller world."""

    def forward(self, graph: Any, queries: Any, candidates: Any) -> torch.Tensor:
        return torch.zeros(len(queries), 5)


def all_of(task: Any, split: Any) -> Any:
    return next(task.batches(split, [torch.arange(task.size(split))], epoch=0, train=False))


def built(task: Any, **settings: Any) -> Any:
    return dan(entities=task.entities, relations=task.relations, classes=task.entities, width=4, **settings).eval()


def test_every_triple_asks_two_queries_the_second_by_the_reciprocal_relation(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks")
    batch = all_of(task, "train")
    (head, relation), tail = batch.inputs.unbind(1), batch.target
    count = len(task.triples.train)
    assert task.size("train") == 2 * count
    assert torch.equal(torch.stack([head, relation, tail], 1)[:count], task.triples.train)
    assert torch.equal(torch.stack([tail, relation - 3, head], 1)[count:], task.triples.train)


def test_the_graph_holds_training_triples_only(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks")
    assert len(task.context().triples) == 2 * len(task.triples.train)
    assert task.context().known is None


def test_ranks_are_filtered_by_all_three_parts(make_task: Callable[..., Any]) -> None:
    source = Facts(train=[("a", "r", "b"), ("c", "r", "d")], validation=[("a", "r", "c")], test=[("a", "r", "d")])
    task = make_task(LinkPrediction, source)
    place = {name: number for number, name in enumerate(task.triples.entities)}
    mask = task.meter("test").answers.mask(torch.tensor([0, 1]), 4)
    assert mask[0].nonzero()[:, 0].tolist() == sorted(place[name] for name in "bcd")
    assert mask[1].nonzero()[:, 0].tolist() == sorted(place[name] for name in "ac")


def test_evaluation_does_not_depend_on_how_it_is_batched(
    make_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kdzoo_graph.tasks import batches

    task = make_task(LinkPrediction, "blocks")
    model, results = built(task), []
    for numbers in (2**25, 30):
        monkeypatch.setattr(batches, "NUMBERS", numbers)
        meter = task.meter("test")
        for batch in task.batches("test", torch.arange(task.size("test")).split(3), epoch=0, train=False):
            meter.update(task.forward(model, batch, MAIN), batch)
        results.append(meter.result())
    assert results[0] == pytest.approx(results[1])


def test_sampled_candidates_hold_every_answer_and_as_many_others_at_most(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks", negatives=3)
    index = [torch.tensor([0, 5, 9]), torch.tensor([1, 2, 3])]
    first, second = task.batches("train", index, epoch=0, train=True)
    for batch in (first, second):
        candidates = batch.extra["candidates"]
        assert torch.equal(candidates[batch.target], task.queries["train"][batch.index, 2])
        assert len(candidates) <= 6
    (again,) = task.batches("train", index[1:], epoch=0, train=True)
    assert torch.equal(again.extra["candidates"], second.extra["candidates"]), "a resumed run draws the same"
    (later,) = task.batches("train", index[1:], epoch=1, train=True)
    assert not torch.equal(later.extra["candidates"], second.extra["candidates"])
    assert "classes" not in task.capabilities


def test_scores_of_sampled_candidates_are_those_of_all(make_task: Callable[..., Any]) -> None:
    every, some = make_task(LinkPrediction, "blocks"), make_task(LinkPrediction, "blocks", negatives=3)
    model, index = built(every), [torch.tensor([0, 5, 9])]
    (whole,), (part,) = (list(task.batches("train", index, epoch=0, train=True)) for task in (every, some))
    expected = every.forward(model, whole, MAIN).rows.logits[:, part.extra["candidates"]]
    torch.testing.assert_close(some.forward(model, part, MAIN).rows.logits, expected)


def test_micro_batches_share_their_candidates(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks", negatives=3)
    (batch,) = task.batches("train", [torch.arange(5)], epoch=0, train=True)
    pieces = task.split(batch, 2)
    assert [piece.size for piece in pieces] == [3, 2]
    assert torch.equal(torch.cat([piece.inputs for piece in pieces]), batch.inputs)
    assert all(torch.equal(piece.extra["candidates"], batch.extra["candidates"]) for piece in pieces)


# -- open worlds ---------------------------------------------------------------------------------------------------------


def test_an_open_world_hides_entities_from_training_and_asks_about_them_in_the_test(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks", open_world=0.25)
    hidden = ~task.known
    assert hidden.sum() >= 3
    for split in ("train", "validation"):
        asked = task.queries[split]
        assert not hidden[asked[:, [0, 2]]].any()
    asked = task.queries["test"]
    assert hidden[asked[:, 0]].all()
    assert not hidden[asked[:, 2]].any()
    graph = task.context()
    assert not hidden[graph.triples[:, ::2]].any()
    assert torch.equal(graph.known, task.known)
    assert hidden[task.graphs["whole"].triples[:, ::2]].any()


def test_the_hidden_entities_do_not_depend_on_the_seed_but_on_the_split(make_task: Callable[..., Any]) -> None:
    known = [make_task(LinkPrediction, "blocks", open_world=0.25, open_split=number).known for number in (0, 0, 1)]
    assert torch.equal(known[0], known[1])
    assert not torch.equal(known[0], known[2])


def test_only_known_entities_are_ranked_in_an_open_world(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks", open_world=0.25)
    for split in ("train", "test"):
        batch = all_of(task, split)
        assert torch.equal(batch.extra["candidates"][batch.target], task.queries[split][:, 2])
        assert task.forward(built(task), batch, MAIN).rows.logits.shape == (batch.size, int(task.known.sum()))


@pytest.mark.parametrize("readout", ["last", "input_and_last"])
def test_what_stands_in_an_unseen_row_changes_no_answer(make_task: Callable[..., Any], readout: str) -> None:
    task = make_task(LinkPrediction, "blocks", open_world=0.25)
    model, batch = built(task, readout=readout), all_of(task, "test")
    before = task.forward(model, batch, MAIN).rows.logits
    with torch.no_grad():
        model.table.weight[~task.known] = 100.0
    assert torch.equal(task.forward(model, batch, MAIN).rows.logits, before)


def test_the_plain_table_does_depend_on_it(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks", open_world=0.25)
    model = entity_table(entities=task.entities, relations=task.relations, classes=task.entities, width=4).eval()
    batch = all_of(task, "test")
    before = task.forward(model, batch, MAIN).rows.logits
    with torch.no_grad():
        model.table.weight[~task.known] = torch.randn(int((~task.known).sum()), 4)
    assert not torch.allclose(task.forward(model, batch, MAIN).rows.logits, before)


# -- refusals ------------------------------------------------------------------------------------------------------------


def test_entities_and_relations_that_nothing_connects_to_are_refused_or_kept(make_task: Callable[..., Any]) -> None:
    alone = Facts(train=[("a", "r", "b")], test=[("a", "r", "c"), ("d", "r", "b")])
    with pytest.raises(RecipeError, match=r"asks about 2 entities that no training triple has \('c', 'd'\).*task\.unseen=keep"):
        make_task(LinkPrediction, alone)
    new = Facts(train=[("a", "r", "b")], test=[("a", "s", "b")])
    with pytest.raises(RecipeError, match=r"asks about 1 relations that no training triple has \('s'\)"):
        make_task(LinkPrediction, new)
    task = make_task(LinkPrediction, alone, unseen="keep")
    output = task.forward(built(task), all_of(task, "test"), MAIN)
    assert output.rows.logits.isfinite().all(), "an entity without any neighbor is ranked all the same"


def test_more_negatives_than_entities_are_refused(make_task: Callable[..., Any]) -> None:
    with pytest.raises(RecipeError, match=r"task\.negatives is 12, but there are only 12 entities"):
        make_task(LinkPrediction, "blocks", negatives=12)


def test_hiding_too_much_is_refused(make_task: Callable[..., Any]) -> None:
    with pytest.raises(RecipeError, match=r"hiding this share of its 12 entities leaves \d+ triples"):
        make_task(LinkPrediction, "blocks", open_world=0.95)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"open_world": 1.0}, "open_world must be at least 0 and below 1"),
        ({"negatives": 0}, "negatives must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused_in_words(settings: dict[str, float] | dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LinkPrediction(data=Facts(), **settings)


def test_models_that_answer_something_else_are_refused(make_task: Callable[..., Any]) -> None:
    task = make_task(LinkPrediction, "blocks")
    with pytest.raises(CapabilityError, match=r"must return scores \(queries, entities\), this model returned tuple"):
        task.forward(lambda *_: (), task.example(), MAIN)
    with pytest.raises(CapabilityError, match="the teacher ranks 5 entities, the student 12"):
        task.align(built(task), Narrow())
