"""Link prediction: which entity completes (head, relation, ?) and (?, relation, tail).

A row is a query, a class an entity. Each triple asks two: the second one by the reciprocal relation r + R (Lacroix et al., ICML
2018, arXiv 1806.07297). The graph that models see is that of the training triples. Ranks are filtered: other answers known from
training, validation or test do not count (Bordes et al., NeurIPS 2013).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.blame import loaded
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.roles import Data
from kdzoo.protocol.task import Model, Task
from kdzoo.random import Streams
from kdzoo.ranges import at_least, at_least_and_below
from kdzoo_graph.data.open_world import World, closed, opened
from kdzoo_graph.data.reachability import check
from kdzoo_graph.data.triples import Triples
from kdzoo_graph.models.graph import Graph
from kdzoo_graph.tasks.batches import answer, cut, larger
from kdzoo_graph.tasks.known_answers import Answers
from kdzoo_graph.tasks.ranks import RankMeter

TRAIN, WHOLE = "train", "whole"
"""The two graphs: of the training triples, and the one at test (the same, unless the world is open)."""


class LinkPrediction(Task):
    """Rank entities as answers of queries.

    Args:
        data: where the triples come from.
        open_world: share of the entities that are hidden in training and asked about in the test; 0 is the usual closed world.
        open_split: which entities these are; not the seed of the run.
        negatives: score each training batch against its own answers and this many entities more; None against all. Each
            process draws its own, so methods that relate a whole batch need one process then.
        unseen: what to do about entities and relations in validation or test that no training triple has. `keep` ranks them
            like the others, as is usual for FB15k-237 and WN18RR.
    """

    metric = "mrr"
    unit = "queries"
    tells: ClassVar[Mapping[str, Any]] = {"classes": 10, "entities": 10, "relations": 4}
    heads = frozenset[str]()
    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(
        self,
        *,
        data: Data,
        open_world: float = 0.0,
        open_split: int = 0,
        negatives: int | None = None,
        unseen: Literal["refuse", "keep"] = "refuse",
    ) -> None:
        at_least_and_below(0, 1, open_world=open_world)
        at_least(1, negatives=negatives)
        self.data, self.open_world, self.open_split = data, open_world, open_split
        self.negatives, self.unseen = negatives, unseen
        self.capabilities = frozenset({"features", "index", "graph"} | ({"classes"} if negatives is None else set()))

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        """Hash of the data's content."""
        self.root = root
        return self.triples.fingerprint

    @cached_property
    def triples(self) -> Triples:
        return loaded(self.data, self.root, Triples)

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        self.root, self.streams, self.device = root, streams, device
        world = opened(self.triples, self.open_world, split=self.open_split) if self.open_world else closed(self.triples)
        check(world, keep=self.unseen == "keep", wide=bool(self.open_world))
        self.known = world.known.to(device)
        self.candidates = self.known.nonzero()[:, 0] if self.open_world else None
        if self.negatives is not None and self.negatives >= self.classes:
            raise RecipeError(
                f"task.negatives is {self.negatives}, but there are only {self.classes} entities to choose from; "
                "set it lower, or to null to score against all of them."
            )
        self.queries = {name: part.to(device) for name, part in self._queries(world).items()}
        both = {TRAIN: world.triples.train, WHOLE: world.whole}
        self.graphs = {name: self._graph(part.to(device)) for name, part in both.items()}

    @property
    def entities(self) -> int:
        return len(self.triples.entities)

    @property
    def relations(self) -> int:
        """Relations, reciprocal ones included."""
        return 2 * len(self.triples.relations)

    @property
    def classes(self) -> int:
        """Candidates of a query."""
        return self.entities if self.candidates is None else len(self.candidates)

    def _queries(self, world: World) -> dict[str, Tensor]:
        """(Q, 3) of entity asked about, relation, answer; in an open world the test asks about unknown entities only."""
        parts = {"train": world.triples.train, "validation": world.triples.validation, "test": world.triples.test}
        asked = {name: self._both(part) for name, part in parts.items()}
        if self.open_world:
            asked["test"] = asked["test"][~world.known[asked["test"][:, 0]]]
        return asked

    def _both(self, triples: Tensor) -> Tensor:
        """The triples and their reciprocals."""
        head, relation, tail = triples.unbind(1)
        return torch.cat([triples, torch.stack([tail, relation + self.relations // 2, head], 1)])

    def _graph(self, triples: Tensor) -> Graph:
        return Graph(self._both(triples), entities=self.entities, relations=self.relations, known=self.known)

    def context(self) -> Graph:
        """The graph of the training triples."""
        return self.graphs[TRAIN]

    # -- batches -----------------------------------------------------------------------------------------------------

    def size(self, split: str) -> int:
        return len(self.queries[split]) if split in self.queries else 0

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        for index in order if train else larger(order, self.classes):
            yield self._batch(split, index.to(self.device), self._sampled(index, epoch) if train else None)

    def _batch(self, split: str, index: Tensor, negatives: Tensor | None = None) -> Batch:
        asked = self.queries[split][index]
        candidates, target = self.candidates, asked[:, 2].contiguous()
        if negatives is not None:
            candidates = torch.cat([target, negatives]).unique()
        if candidates is not None:
            target = torch.searchsorted(candidates, target)
        extra = {"graph": WHOLE if split == "test" else TRAIN, "candidates": candidates}
        return Batch(asked[:, :2].contiguous(), len(index), target, index, extra=extra, whole=len(index))

    def _sampled(self, index: Tensor, epoch: int) -> Tensor | None:
        """Entities to score against beside the answers; which, depends on the first sample of the batch and the epoch."""
        if self.negatives is None:
            return None
        drawn = self.streams.permutation(self.classes, "negatives", epoch, int(index[0]))[: self.negatives].to(self.device)
        return drawn if self.candidates is None else self.candidates[drawn]

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        return cut(batch, parts)

    def example(self) -> Batch:
        return self._batch("train", torch.arange(min(2, self.size("train")), device=self.device))

    # -- models ------------------------------------------------------------------------------------------------------

    def build(self, model: Model) -> nn.Module:
        return model(entities=self.entities, relations=self.relations, classes=self.entities)

    def sketch(self, model: Model) -> nn.Module:
        return model(entities=8, relations=4, classes=8)

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        scores = model(self.graphs[batch.extra["graph"]], batch.view(view), batch.extra["candidates"])
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise CapabilityError(f"a link predictor must return scores (queries, entities), this model returned {found}.")
        return Output(Rows(scores, batch.target))

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse a teacher that ranks other entities."""
        widths = [answer(self, model).rows.logits.shape[1] for model in (student, teacher)]
        if widths[0] != widths[1]:
            raise CapabilityError(
                f"the teacher ranks {widths[1]} entities, the student {widths[0]}; distillation compares the same entities: "
                "use a teacher trained on this graph."
            )

    def supervised(self, output: Output) -> Tensor:
        """Cross-entropy over the candidates."""
        assert output.rows.target is not None
        return cross_entropy(output.rows.logits, output.rows.target, weight=output.rows.weight_of_labels)

    # -- results -----------------------------------------------------------------------------------------------------

    def meter(self, split: str) -> RankMeter:
        facts = torch.cat([self.triples.train, self.triples.validation, self.triples.test]).to(self.device)
        place = torch.arange(self.entities, device=self.device)
        if self.candidates is not None:
            place = torch.full_like(place, -1)
            place[self.candidates] = torch.arange(len(self.candidates), device=self.device)
        asked = self.queries[split][:, :2]
        return RankMeter(Answers.of(asked, self._both(facts), relations=self.relations, place=place))

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.triples.name,
            "entities": self.entities,
            "relations": self.relations // 2,
            "classes": self.classes,
            "unseen": int((~self.known).sum()),
            "sizes": {name: len(part) for name, part in self.queries.items()},
            "edges": len(self.context().edges),
            "fingerprint": self.triples.fingerprint,
        }

    def chance(self) -> float:
        """Mean reciprocal rank of guessing among all candidates."""
        return sum(1 / rank for rank in range(1, self.classes + 1)) / self.classes
