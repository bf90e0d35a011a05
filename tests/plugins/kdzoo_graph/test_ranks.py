"""Ranks against brute force and against PyKEEN's evaluator, ties, filters, CSLS, and both meters."""

from typing import Any

import pytest
import torch
from kdzoo_graph.tasks.known_answers import Answers
from kdzoo_graph.tasks.ranks import RankMeter, SimilarityMeter, csls, ranks, summary

from kdzoo.protocol.outputs import Batch, Output, Rows


def given(rows: int = 40, candidates: int = 9, seed: int = 0) -> tuple[Any, Any, bool]:
    """Scores with many ties, targets, and what is to be left out (the target among it, now and then)."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 4, (rows, candidates), generator=draw).float()
    target = torch.randint(0, candidates, (rows,), generator=draw)
    return scores, target, torch.rand(rows, candidates, generator=draw) < 0.3


def brute(scores: Any, target: Any, others: Any) -> torch.Tensor:
    """Best, worst and mean place over all orders of the tied candidates."""
    found = []
    for row, answer, out in zip(scores.tolist(), target.tolist(), others.tolist(), strict=True):
        rivals = [score for place, score in enumerate(row) if place != answer and not out[place]]
        best = 1 + sum(score > row[answer] for score in rivals)
        worst = best + sum(score == row[answer] for score in rivals)
        found.append([(best + worst) / 2, best, worst])
    return torch.tensor(found, dtype=torch.float64)


def test_ranks_are_those_of_brute_force_with_ties_and_filters() -> None:
    scores, target, others = given()
    torch.testing.assert_close(ranks(scores, target, others), brute(scores, target, others), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore")
def test_metrics_are_those_of_pykeen() -> None:
    evaluation = pytest.importorskip("pykeen.evaluation")
    scores, target, others = given()
    evaluator = evaluation.RankBasedEvaluator()
    filtered = scores.masked_fill(others.scatter(1, target[:, None], False), torch.nan)
    own = scores.gather(1, target[:, None])
    evaluator.process_scores_(torch.stack([target] * 3, 1), "tail", filtered, own)
    theirs, ours = evaluator.finalize(), summary(ranks(scores, target, others))
    for way, suffix in (("realistic", ""), ("optimistic", "_optimistic"), ("pessimistic", "_pessimistic")):
        for metric, name in (("inverse_harmonic_mean_rank", "mrr"), ("arithmetic_mean_rank", "mr"), ("hits_at_3", "hits3")):
            assert ours[name + suffix] == pytest.approx(theirs.get_metric(f"tail.{way}.{metric}"), rel=1e-6)


def test_a_model_that_scores_everything_alike_is_in_the_middle() -> None:
    found = ranks(torch.zeros(3, 11), torch.tensor([0, 5, 10]))
    assert found.tolist() == [[6.0, 1.0, 11.0]] * 3


def test_a_score_that_is_no_number_is_the_worst() -> None:
    found = ranks(torch.tensor([[torch.nan, 1.0, 2.0], [torch.nan, 1.0, torch.nan]]), torch.tensor([0, 1]))
    assert found[:, 0].tolist() == [3.0, 1.0]


def test_the_meter_leaves_out_known_answers_however_the_queries_are_batched() -> None:
    scores, target, others = given(rows=6, candidates=4)
    queries = torch.stack([torch.arange(6), torch.zeros(6, dtype=torch.long)], 1)
    rows, known = (others | torch.nn.functional.one_hot(target, 4).bool()).nonzero().unbind(1)
    facts = torch.stack([rows, torch.zeros_like(rows), known], 1)[torch.randperm(len(rows))]
    answers = Answers.of(queries, facts, relations=1, place=torch.arange(4))
    for parts in ([range(6)], [[4, 1], [0, 5, 2, 3]]):
        meter = RankMeter(answers)
        for part in parts:
            index = torch.tensor(list(part))
            meter.update(Output(Rows(scores[index], target[index])), Batch(None, len(index), target[index], index))
        assert meter.result() == pytest.approx(summary(brute(scores, target, others)))
        assert meter.arrays()["ranks"].shape == (6,)


def test_answers_that_are_no_candidates_do_not_count() -> None:
    place = torch.tensor([-1, 0, 1])
    answers = Answers.of(torch.tensor([[7, 0], [8, 0]]), torch.tensor([[7, 0, 0], [7, 0, 2]]), relations=1, place=place)
    assert answers.mask(torch.tensor([1, 0]), 2).tolist() == [[False, False], [False, True]]


def test_csls_takes_hubs_down() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.1], [0.9, 0.1, 0.8], [0.9, 0.2, 0.1]])
    expected = torch.tensor([[2 * s - r - c for s, c in zip(row, (0.9, 0.5, 0.45), strict=True)]
                             for row, r in zip(similarity.tolist(), (0.85, 0.85, 0.55), strict=True)])  # fmt: skip
    torch.testing.assert_close(csls(similarity, neighbors=2), expected)
    assert ranks(csls(similarity, neighbors=2), torch.tensor([1, 2, 0]))[:, 0].tolist() == [1.0, 1.0, 1.0]
    assert ranks(similarity, torch.tensor([1, 2, 0]))[:, 0].tolist() == [2.0, 2.0, 1.0]


def test_the_alignment_meter_reports_both() -> None:
    similarity, target = torch.tensor([[0.9, 0.8, 0.1], [0.9, 0.1, 0.8], [0.9, 0.2, 0.1]]), torch.tensor([1, 2, 0])
    meter = SimilarityMeter(neighbors=2)
    for part in (slice(0, 2), slice(2, 3)):
        meter.update(Output(Rows(similarity[part])), Batch(None, 1, target[part]))
    result = meter.result()
    assert result["hits1"] == pytest.approx(1 / 3)
    assert result["csls_hits1"] == result["csls_mrr"] == 1.0
