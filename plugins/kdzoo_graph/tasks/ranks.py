"""Ranks of the right answers among the candidates, and the meters of both graph tasks.

A candidate with the same score as the answer comes after it (optimistic), before it (pessimistic), or half of them do (average,
which is the headline: a model that scores everything alike gets no credit). Filtered: other right answers do not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.protocol.outputs import Batch, Output
from kdzoo_graph.tasks.known_answers import Answers

HITS = (1, 3, 10)
WAYS = ("average", "optimistic", "pessimistic")
CHUNK = 1024


def ranks(scores: Tensor, target: Tensor, others: Tensor | None = None) -> Tensor:
    """(R, 3) average, optimistic and pessimistic rank of `target` (R,) by `scores` (R, C), float64, from 1.

    `others` (R, C) marks candidates that do not count; the target counts all the same. A score that is no number is the worst.
    """
    scores = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    own = scores.gather(1, target[:, None])
    counted = torch.ones_like(scores, dtype=torch.bool) if others is None else ~others
    counted = counted.scatter(1, target[:, None], False)
    higher = ((scores > own) & counted).sum(1)
    equal = ((scores == own) & counted).sum(1)
    best, worst = 1.0 + higher.double(), 1.0 + (higher + equal).double()
    return torch.stack([(best + worst) / 2, best, worst], 1)


def summary(found: Tensor, prefix: str = "") -> dict[str, float]:
    """MRR, MR and Hits@k of ranks (R, 3); `mrr` is the average rank's, `mrr_optimistic` and so on follow."""
    result = {}
    for way, column in zip(WAYS, found.unbind(1), strict=True):
        suffix = "" if way == "average" else f"_{way}"
        result[f"{prefix}mrr{suffix}"] = column.reciprocal().mean().item()
        result[f"{prefix}mr{suffix}"] = column.mean().item()
        result |= {f"{prefix}hits{k}{suffix}": (column <= k).double().mean().item() for k in HITS}
    return result


def csls(similarity: Tensor, *, neighbors: int) -> Tensor:
    """Cross-domain similarity local scaling, `2 s_ij - r_i - c_j`: (R, C), the means of a row's and a column's k largest.

    Conneau et al., "Word Translation Without Parallel Data", ICLR 2018 (arXiv 1710.04087).
    """
    row, column = (similarity.topk(min(neighbors, similarity.shape[d]), d).values.mean(d, keepdim=True) for d in (1, 0))
    return (2 * similarity).sub_(row).sub_(column)


class RankMeter:
    """Filtered ranks of link queries; keeps three numbers a query. Args: answers: the right ones of the split's queries."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.found: list[Tensor] = []

    def update(self, output: Output, batch: Batch) -> None:
        assert batch.index is not None
        scores = output.rows.logits
        self.found.append(ranks(scores, batch.target, self.answers.mask(batch.index, scores.shape[1])).cpu())

    def result(self) -> dict[str, float]:
        return summary(torch.cat(self.found))

    def arrays(self) -> dict[str, Tensor]:
        return _rank_arrays(torch.cat(self.found))


class SimilarityMeter:
    """Ranks of the aligned entity, plain and after CSLS; keeps the similarities (R, C) of the split on the host."""

    def __init__(self, neighbors: int) -> None:
        self.neighbors = neighbors
        self.similarity: list[Tensor] = []
        self.target: list[Tensor] = []

    def update(self, output: Output, batch: Batch) -> None:
        self.similarity.append(output.rows.logits.float().cpu())
        self.target.append(batch.target.cpu())

    def result(self) -> dict[str, float]:
        similarity, target = self._joined()
        scaled = csls(similarity, neighbors=self.neighbors)
        return summary(_by_parts(similarity, target)) | summary(_by_parts(scaled, target), "csls_")

    def arrays(self) -> dict[str, Tensor]:
        return _rank_arrays(_by_parts(*self._joined()))

    def _joined(self) -> tuple[Tensor, Tensor]:
        """All of it in one piece, and only once in memory."""
        self.similarity, self.target = [torch.cat(self.similarity)], [torch.cat(self.target)]
        return self.similarity[0], self.target[0]


def _by_parts(scores: Tensor, target: Tensor) -> Tensor:
    return torch.cat([ranks(s, t) for s, t in zip(scores.split(CHUNK), target.split(CHUNK), strict=True)])


def _rank_arrays(found: Tensor) -> dict[str, Tensor]:
    """The average rank (Q,) of each query's answer, and its reciprocal: a row of scores a query would be too much to keep."""
    return {"ranks": found[:, 0].float(), "score": found[:, 0].reciprocal()}
