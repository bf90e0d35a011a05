"""Entity alignment: which entity of the second graph is the one of the first.

A row is a seed pair, asked about its first entity; a class is a candidate of the second graph; a logit is a cosine. The loss is
AliNet's (Sun et al., AAAI 2020, arXiv 1911.08936), as decentRL uses it: `mean_p d_p^2 + 0.1 sum_k max(0, 1.5 - d_k^2)` with
random pairs k across the graphs; d^2 = 2 - 2 cos. In training the candidates are the batch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.functional.float32 import in_float32
from kdzoo.protocol.blame import loaded
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.roles import Data
from kdzoo.protocol.task import Model, Task
from kdzoo.random import Streams
from kdzoo.ranges import above, at_least_and_below, finite
from kdzoo_graph.data.aligned import Aligned
from kdzoo_graph.data.enrich import enriched
from kdzoo_graph.data.hops import two_hops
from kdzoo_graph.data.open_world import FIXED_SEED, touched
from kdzoo_graph.models.graph import Graph
from kdzoo_graph.tasks.batches import answer, cut, larger
from kdzoo_graph.tasks.ranks import SimilarityMeter

TRAIN, WHOLE = "train", "whole"
OTHERS = "others"


@in_float32
def contrastive(positive: Tensor, negative: Tensor, *, margin: float = 1.5, weight: float = 0.1) -> Tensor:
    """`(sum positive + weight * sum max(0, margin - negative)) / P` of squared distances (P,) and (..., K)."""
    return (positive.sum() + weight * (margin - negative).relu().sum()) / len(positive)


class EntityAlignment(Task):
    """Find equivalent entities of two graphs.

    Args:
        data: two graphs with seeds.
        validation: share of the seeds held out to choose epochs; the same ones whatever the seed of the run. The authors choose
            by test: with 0 the last epoch counts.
        negatives: random pairs per seed pair; margin, negative_weight: how far they have to be apart, and what they weigh.
        csls_neighbors: nearest neighbors in CSLS, 2 in the authors' evaluation.
    """

    metric = "mrr"
    unit = "pairs"
    tells: ClassVar[Mapping[str, Any]] = {"classes": 10, "entities": 10, "relations": 4}
    heads = frozenset[str]()
    higher_is_better = True
    bounds = (0.0, 1.0)
    capabilities = frozenset({"features", "index", "graph"})

    def __init__(
        self,
        *,
        data: Data,
        validation: float = 0.1,
        negatives: int = 10,
        margin: float = 1.5,
        negative_weight: float = 0.1,
        csls_neighbors: int = 2,
    ) -> None:
        above(0, negatives=negatives, margin=margin, csls_neighbors=csls_neighbors)
        at_least_and_below(0, 1, validation=validation)
        finite(negative_weight=negative_weight)
        self.data, self.validation, self.negatives = data, validation, negatives
        self.margin, self.negative_weight, self.csls_neighbors = margin, negative_weight, csls_neighbors

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        """Hash of the data's content."""
        self.root = root
        return self.graphs.fingerprint

    @cached_property
    def graphs(self) -> Aligned:
        return loaded(self.data, self.root, Aligned)

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        self.root, self.streams, self.device = root, streams, device
        data = self.graphs
        seeds = data.seeds[Streams(FIXED_SEED).permutation(len(data.seeds), "alignment validation")]
        held = round(self.validation * len(seeds))
        parts = {"train": seeds[held:], "validation": seeds[:held], "test": data.test}
        triples = {TRAIN: enriched(data.known_sides, parts["train"], data.linked)}
        triples[WHOLE] = enriched(data.sides, parts["train"], data.linked)
        known = touched(triples[TRAIN], data.entities)
        known[parts["train"].flatten()] = True
        self.pools = [_linked_and_known(side, data.linked & known).to(device) for side in data.sides]
        self._check(len(parts["train"]))
        rest = torch.cat([parts["validation"][:, 1], data.candidates]).unique()
        self.candidates = {"validation": rest.to(device), "test": data.candidates.to(device)}
        self.pairs = {name: part.to(device) for name, part in parts.items()}
        self.partner = torch.full((data.entities,), -1, device=device)
        self.partner[self.pairs["train"][:, 0]] = self.pairs["train"][:, 1]
        sides = {TRAIN: data.known_sides, WHOLE: data.sides}
        self.worlds = {name: self._graph(triples[name].to(device), sides[name], known.to(device)) for name in sides}

    def _check(self, seeds: int) -> None:
        if not seeds:
            raise RecipeError(f"{self.graphs.name}: task.validation={self.validation:g} leaves no seed to train on; lower it.")
        fewest = min(len(pool) for pool in self.pools)
        if self.negatives >= fewest:
            raise RecipeError(
                f"task.negatives is {self.negatives}, but one of the graphs has only {fewest} entities to draw from; "
                "set it lower."
            )

    def _graph(self, triples: Tensor, sides: tuple[Tensor, Tensor], known: Tensor) -> Graph:
        size = {"entities": self.graphs.entities, "relations": self.graphs.relations}
        far = partial(_far, [side[self.graphs.linked[side[:, ::2]].all(1)].to(self.device) for side in sides], **size)
        return Graph(triples, **size, known=known, far=far)

    def context(self) -> Graph:
        """The graph that training sees: both graphs, joined by what the seeds say."""
        return self.worlds[TRAIN]

    # -- batches -----------------------------------------------------------------------------------------------------

    def size(self, split: str) -> int:
        return len(self.pairs[split]) if split in self.pairs else 0

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        for index in order if train else larger(order, len(self._candidates(split))):
            index = index.to(self.device)
            yield self._batch(split, index, self._others(index, epoch) if train else None)

    def _candidates(self, split: str) -> Tensor:
        own: Tensor = self.pairs[split][:, 1].unique() if split not in self.candidates else self.candidates[split]
        return own

    def _batch(self, split: str, index: Tensor, others: Tensor | None = None) -> Batch:
        pairs = self.pairs[split][index]
        candidates = pairs[:, 1].unique() if others is not None else self._candidates(split)
        target = torch.searchsorted(candidates, pairs[:, 1].contiguous())
        extra = {"graph": WHOLE if split == "test" else TRAIN, "candidates": candidates}
        extra |= {} if others is None else {OTHERS: others}
        return Batch(pairs, len(index), target, index, extra=extra, whole=len(index))

    def _others(self, index: Tensor, epoch: int) -> Tensor:
        """(B, K, 2) random pairs across the graphs, no training seeds; a sample's depend on it and the epoch alone."""
        drawn = self.streams.uniform(index, 2 * self.negatives, "negatives", epoch).view(len(index), self.negatives, 2)
        places = [(drawn[..., side] * len(pool)).long() for side, pool in enumerate(self.pools)]
        left, right = (pool[place] for pool, place in zip(self.pools, places, strict=True))
        following = self.pools[1][(places[1] + 1) % len(self.pools[1])]
        return torch.stack([left, torch.where(self.partner[left] == right, following, right)], -1)

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        return cut(batch, parts, by_query=(OTHERS,))

    def example(self) -> Batch:
        index = torch.arange(min(2, self.size("train")), device=self.device)
        return self._batch("train", index, self._others(index, 0))

    # -- models ------------------------------------------------------------------------------------------------------

    def build(self, model: Model) -> nn.Module:
        return model(entities=self.graphs.entities, relations=self.graphs.relations, classes=0)

    def sketch(self, model: Model) -> nn.Module:
        return model(entities=8, relations=4, classes=0)

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        given = model(self.worlds[batch.extra["graph"]], batch.view(view), batch.extra["candidates"], batch.extra.get(OTHERS))
        if not isinstance(given, tuple) or len(given) != 2:
            raise CapabilityError(
                "an aligner must return the cosines of its pairs with the candidates, and those of the further pairs or None; "
                f"this model returned a {type(given).__name__}."
            )
        logits, others = given
        return Output(Rows(logits, batch.target), heads={} if others is None else {OTHERS: others})

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Both compare entities with entities, whatever the width of their vectors; refuse a module that does not."""
        answer(self, teacher)

    def supervised(self, output: Output) -> Tensor:
        """The contrastive loss; where no negatives were drawn, that of the seed pairs alone."""
        rows = output.rows
        assert rows.target is not None
        positive = 2 - 2 * rows.logits.gather(1, rows.target[:, None])[:, 0]
        if rows.weight_of_labels is not None:
            positive = positive * rows.weight_of_labels
        negative = 2 - 2 * output.tensor(OTHERS) if OTHERS in output.heads else positive.new_zeros(0)
        return contrastive(positive, negative, margin=self.margin, weight=self.negative_weight)

    # -- results -----------------------------------------------------------------------------------------------------

    def meter(self, split: str) -> SimilarityMeter:
        return SimilarityMeter(self.csls_neighbors)

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.graphs.name,
            "entities": self.graphs.entities,
            "relations": self.graphs.relations,
            "candidates": len(self.candidates["test"]),
            "sizes": {name: len(part) for name, part in self.pairs.items()},
            "triples": {name: len(graph.triples) for name, graph in self.worlds.items()},
            "edges": len(self.context().edges),
            "fingerprint": self.graphs.fingerprint,
        }

    def chance(self) -> float:
        """Mean reciprocal rank of guessing among the candidates of the test."""
        count = len(self.candidates["test"])
        return sum(1 / rank for rank in range(1, count + 1)) / count


def _linked_and_known(side: Tensor, kept: Tensor) -> Tensor:
    there = side[:, ::2].unique()
    chosen: Tensor = there[kept[there]]
    return chosen


def _far(sides: list[Tensor], *, entities: int, relations: int) -> Tensor:
    """Two-hop pairs within each graph."""
    return torch.cat([two_hops(side, entities=entities, relations=relations) for side in sides])
