"""Pairs of images of which only something about both is labeled: the sum of their classes' numbers.

As MNIST addition (Manhaeve et al., NeurIPS 2018, arXiv 1805.10872). A sample is a pair, a row an image: the model tells the
class of each image, head `digit`, without ever seeing its label. The head `total` of the pair is given in training, its label
as a certainty; in evaluation nobody knows it. The knowledge is `total = first.digit + second.digit`; further rules may speak of
`first.digit.CLASS`, `second.digit.CLASS` and `total.NUMBER`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.protocol.needs import LABELS, ROWS, Needs
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.roles import Data
from kdzoo.protocol.task import Model, Task
from kdzoo.random import Streams
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo_knowledge.declaration.knowledge import Knowledge
from kdzoo_knowledge.declaration.section import KnowledgeSection, declared
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.grounded import GROUNDINGS
from kdzoo_knowledge.logic.weighted import FLOOR
from kdzoo_knowledge.tasks.heads import labeled_loss

DIGIT, TOTAL, IMAGE, PAIR = "digit", "total", "image", "pair"
GIVEN = "given"
FIXED_SEED = 0


class ImagePairs(Task):
    """Learn to tell images from the sums of pairs.

    Args:
        data: the images. train_size, validation: images, as of `image_classification`.
        rules: further rules by name, as in docs/knowledge.md.
    """

    metric = "accuracy"
    unit = "pairs"
    bounds = (0.0, 100.0)
    tells: ClassVar[Mapping[str, Any]] = {"classes": 10, "channels": 3, "size": 32}
    capabilities = frozenset({"features", "index", "knowledge"})
    heads = frozenset({DIGIT, TOTAL})
    main = DIGIT

    def __init__(
        self,
        *,
        data: Data,
        train_size: int | None = None,
        validation: float = 0.1,
        rules: Mapping[str, Any] | None = None,
    ) -> None:
        self.further = dict(rules or {})
        self.images = ImageClassification(data=data, train_size=train_size, validation=validation, crop=0, flip=False)
        names = self.images.class_names()
        if names is not None:
            self._declared(len(names))  # what contradicts itself is told before data are read

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        return self.images.fingerprint(root)

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        self.device = device
        self.images.open(needs=needs, streams=streams, device=device, root=root)
        self.classes = self.images.set.classes
        self.knowledge = self._declared(self.classes)
        self.pairs = {split: self._paired(split).to(device) for split in ("train", "validation", "test")}

    def _declared(self, classes: int) -> Knowledge:
        """The sum of so many classes, and the further rules."""
        names = [str(number) for number in range(classes)]
        total = Head(TOTAL, tuple(str(number) for number in range(2 * classes - 1)), of=PAIR, given=True)
        sums = [{TOTAL: [f"first.{DIGIT}", f"second.{DIGIT}"]}]
        section = KnowledgeSection(heads={DIGIT: "data"}, sums=sums, rules=self.further)
        relations = {PAIR: {"first": IMAGE, "second": IMAGE}}
        return declared(section, names, further={TOTAL: total}, relations=relations, of=IMAGE).knowledge

    def _paired(self, split: str) -> Tensor:
        """(P, 2) places of the images of a split, each in one pair; the same ones whatever the seed of the run."""
        shuffled = Streams(FIXED_SEED).permutation(self.images.size(split), "pairs", split)
        return shuffled[: len(shuffled) // 2 * 2].view(-1, 2)

    def size(self, split: str) -> int:
        return len(self.pairs[split]) if split in self.pairs else 0

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        flat = [self.pairs[split][index.to(self.device)].flatten() for index in order]
        images = self.images.batches(split, flat, epoch=epoch, train=train)
        for index, batch in zip(order, images, strict=True):
            pairs = batch.inputs.unflatten(0, (-1, 2))
            yield self._batch(pairs, batch.target.view(-1, 2), index.to(self.device), given=train and split == "train")

    def _batch(self, pairs: Tensor, digits: Tensor, index: Tensor, *, given: bool) -> Batch:
        count = len(index)
        return Batch(pairs, count, digits, index, extra=self._extra(count, given=given), whole=count)

    def _extra(self, count: int, *, given: bool) -> dict[str, Any]:
        places = torch.arange(2 * count, device=self.device).view(-1, 2)
        return {GROUNDINGS: {PAIR: {"first": places[:, 0], "second": places[:, 1]}}, GIVEN: given}

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        pieces = self.images.split(replace(batch, extra={}), parts)
        return [replace(piece, extra=self._extra(piece.size, given=batch.extra[GIVEN])) for piece in pieces]

    def counts(self, batch: Batch) -> Mapping[str, float]:
        return {ROWS: 2 * batch.size, LABELS: 0, PAIR: batch.size}

    def example(self) -> Batch:
        index = torch.arange(min(2, self.size("train")))
        return next(self.batches("train", [index], epoch=0, train=False))

    # -- models ------------------------------------------------------------------------------------------------------

    def build(self, model: Model) -> nn.Module:
        channels, height, width = self.images.set.shape
        return model(classes=self.classes, channels=channels, size=max(height, width))

    def sketch(self, model: Model) -> nn.Module | None:
        return self.images.sketch(model)

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        logits = model(batch.view(view).flatten(0, 1))
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != self.classes:
            raise CapabilityError(f"a model of image pairs must return logits (images, {self.classes}) for each image.")
        unlabeled = torch.zeros(len(logits), device=logits.device) if batch.extra[GIVEN] else None
        digits = Rows(logits, batch.target.flatten(), label_weight=unlabeled)
        totals = torch.zeros(batch.size, 2 * self.classes - 1, device=logits.device)
        target = batch.target.sum(1)
        if batch.extra[GIVEN]:
            certain = torch.arange(totals.shape[1], device=logits.device) == target[:, None]
            totals = torch.where(certain, totals, FLOOR)
        return Output(digits, heads={DIGIT: digits, TOTAL: Rows(totals, target)})

    def supervised(self, output: Output) -> Tensor:
        """Cross-entropy of the images' own classes; 0 in training, where none is labeled."""
        return labeled_loss(output.rows, self.knowledge.vocabulary.heads[DIGIT])

    # -- results -----------------------------------------------------------------------------------------------------

    def meter(self, split: str) -> PairMeter:
        return PairMeter()

    def facts(self) -> dict[str, Any]:
        sizes = {name: len(pairs) for name, pairs in self.pairs.items()}
        rules = {rule.name: len(str(rule.formula)) for rule in self.knowledge.rules}
        return {**self.images.facts(), "classes": self.classes, "pairs": sizes, "rules": sorted(rules)}

    def preprocessing(self) -> dict[str, Any]:
        return self.images.preprocessing()

    def class_names(self) -> Sequence[str] | None:
        return self.images.class_names()

    def chance(self) -> float:
        return self.images.chance()


class PairMeter:
    """`accuracy` of the images, `total.accuracy` of the sums of the two decisions, in percent."""

    def __init__(self) -> None:
        self.logits: list[Tensor] = []
        self.target: list[Tensor] = []

    def update(self, output: Output, batch: Batch) -> None:
        self.logits.append(output.rows.logits)
        self.target.append(batch.target.flatten())

    def result(self) -> dict[str, float]:
        decided, target = torch.cat(self.logits).argmax(1), torch.cat(self.target)
        totals = decided.view(-1, 2).sum(1) == target.view(-1, 2).sum(1)
        return {
            "accuracy": 100 * (decided == target).double().mean().item(),
            "total.accuracy": 100 * totals.double().mean().item(),
        }

    def arrays(self) -> dict[str, Tensor]:
        return {"logits": torch.cat(self.logits).cpu(), "target": torch.cat(self.target).cpu()}
