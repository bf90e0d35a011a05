"""Concepts: several heads on one image, and knowledge over them.

The model is an ordinary classifier whose logits are those of all heads in order; `separate_heads` gives each head a network of
its own. The output's rows are the first head, and each head has rows of its own under its name, so a method reads another one
by `reads`. Labels of all heads come from the data's. With `labeled` only so many training images keep theirs; the others take
part with label weight 0: rules, teachers and pseudo-labels still see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.data.splits import stratified
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.needs import LABELS, ROWS, Needs
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.roles import Data
from kdzoo.protocol.task import Model, Task
from kdzoo.random import Streams
from kdzoo.ranges import above, at_least, between
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo_knowledge.declaration.knowledge import Knowledge
from kdzoo_knowledge.declaration.section import Declared, KnowledgeSection, declared
from kdzoo_knowledge.declaration.vocabulary import SAMPLE
from kdzoo_knowledge.inference.most_probable import How, MostProbable
from kdzoo_knowledge.tasks.heads import cut, heads_loss, targets_of
from kdzoo_knowledge.tasks.meter import ConceptMeter

LABELED = "labeled"


class Concepts(Task):
    """Tell several concepts of an image at once.

    Args:
        data: where the images come from.
        knowledge: heads, hierarchies and rules; docs/knowledge.md has the language.
        labeled: training images that keep their labels, a stratified subset drawn with `subset_seed`; None keeps all.
        train_size: training images in all; None keeps all.
        labeled_share: share of labeled images in each batch, drawn again and again; None takes each image once an epoch.
        validation, crop, flip: as of `image_classification`.
        inference: how the test also infers the most probable state in which the rules hold; None leaves it out.
        time_limit: seconds of an integer program for 64 images.
    """

    metric = "accuracy"
    unit = "images"
    bounds = (0.0, 100.0)
    tells = frozenset({"classes", "channels", "size", "head_widths"})
    capabilities = frozenset({"classes", "features", "index", "views", "knowledge"})

    def __init__(
        self,
        *,
        data: Data,
        knowledge: KnowledgeSection,
        labeled: int | None = None,
        train_size: int | None = None,
        subset_seed: int = 0,
        labeled_share: float | None = None,
        validation: float = 0.1,
        crop: int | None = None,
        flip: bool | None = None,
        inference: How | None = "auto",
        time_limit: float | None = 10.0,
    ) -> None:
        at_least(1, labeled=labeled)
        between(0, 1, labeled_share=labeled_share)
        above(0, time_limit=time_limit)
        if labeled is None and labeled_share is not None:
            raise ValueError("labeled_share needs labeled, the number of images that keep their labels")
        self.section, self.labeled, self.labeled_share, self.subset_seed = knowledge, labeled, labeled_share, subset_seed
        self.inference, self.time_limit = inference, time_limit
        self.images = ImageClassification(
            data=data, train_size=train_size, subset_seed=subset_seed, validation=validation, crop=crop, flip=flip
        )

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        return self.images.fingerprint(root)

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        self.device = device
        self.images.open(needs=needs, streams=streams, device=device, root=root)
        names = self.images.class_names() or [str(number) for number in range(self.images.set.classes)]
        self.declared: Declared = declared(self.section, names)
        heads = self.knowledge.vocabulary.heads
        self.main = next(iter(heads))
        tables = {name: targets_of(head, self.declared.covered[name], len(names)) for name, head in heads.items()}
        self.tables = {name: None if table is None else table.to(device) for name, table in tables.items()}
        self.mask = self._mask()
        self.on_device = None if self.mask is None else self.mask.to(device)

    @property
    def knowledge(self) -> Knowledge:
        """Heads and rules."""
        return self.declared.knowledge

    def _mask(self) -> Tensor | None:
        """Which training samples keep their labels, on the host; None for all."""
        if self.labeled is None:
            return None
        labels = self.images.parts["train"].labels[self.images.places["train"]].cpu()
        if self.labeled > len(labels):
            raise RecipeError(f"task.labeled is {self.labeled}, but there are {len(labels)} training images.")
        mask = torch.zeros(len(labels), dtype=torch.bool)
        mask[stratified(labels, self.labeled, seed=self.subset_seed, stream="labeled")] = True
        return mask

    def size(self, split: str) -> int:
        return self.images.size(split)

    def order(self, epoch: int, streams: Streams, *, batch_size: int) -> Tensor:
        if self.mask is None or self.labeled_share is None:
            return super().order(epoch, streams, batch_size=batch_size)
        samples = len(self.mask)
        return mixed(self.mask, self.labeled_share, streams.permutation(samples, "order", epoch).cpu())

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        for index, batch in zip(order, self.images.batches(split, order, epoch=epoch, train=train), strict=True):
            if split != "train" or self.mask is None:
                yield batch
            else:
                known = tuple(self.mask[index.cpu()].tolist())
                yield replace(batch, extra={**batch.extra, LABELED: known})

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        pieces, start = [], 0
        for piece in self.images.split(batch, parts):
            known = batch.extra.get(LABELED)
            extra = piece.extra if known is None else {**piece.extra, LABELED: known[start : start + piece.size]}
            pieces.append(replace(piece, extra=extra))
            start += piece.size
        return pieces

    def counts(self, batch: Batch) -> Mapping[str, float]:
        known = batch.extra.get(LABELED)
        return {ROWS: batch.size, LABELS: batch.size if known is None else sum(known)}

    def example(self) -> Batch:
        return self.images.example()

    # -- models ------------------------------------------------------------------------------------------------------

    @property
    def widths(self) -> tuple[int, ...]:
        """Classes of each head."""
        return tuple(len(head.classes) for head in self.knowledge.vocabulary.heads.values())

    def build(self, model: Model) -> nn.Module:
        channels, height, width = self.images.set.shape
        told: dict[str, Any] = {"head_widths": self.widths}
        return model(classes=sum(self.widths), channels=channels, size=max(height, width), **told)

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        logits, heads = model(batch.view(view)), self.knowledge.vocabulary.heads
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != sum(self.widths):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise CapabilityError(
                f"a model of concepts must return logits (images, {sum(self.widths)}), those of all heads; "
                f"this one returned {found}."
            )
        label_weight = self._label_weight(batch, logits)
        parts = cut(logits, list(heads.values()))
        rows = {name: Rows(part, self._target(name, batch), label_weight=label_weight) for name, part in parts.items()}
        return Output(rows[self.main], heads=dict(rows))

    def _target(self, name: str, batch: Batch) -> Tensor | None:
        table = self.tables[name]
        return None if table is None or batch.target is None else table[batch.target]

    def _label_weight(self, batch: Batch, like: Tensor) -> Tensor | None:
        if LABELED not in batch.extra or self.on_device is None:
            return None
        return self.on_device[batch.index].to(like.dtype)

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse a teacher with other heads."""
        self.images.align(student, teacher)

    def supervised(self, output: Output) -> Tensor:
        """The sum of the heads' losses; of one alone for a method that reads it."""
        return heads_loss(output, self.knowledge.vocabulary.heads, self.main)

    # -- results -----------------------------------------------------------------------------------------------------

    def meter(self, split: str) -> ConceptMeter:
        theory = self.knowledge.compiled().get(SAMPLE)
        found = None
        if theory is not None:
            theory = theory.to(self.device)
            if split == "test" and self.inference is not None:
                made = MostProbable(theory, how=self.inference, time_limit=self.time_limit, owner="task.inference")
                found = made.to(self.device)
        return ConceptMeter(self.knowledge.vocabulary.heads, self.main, theory, found)

    def facts(self) -> dict[str, Any]:
        heads = {name: list(head.classes) for name, head in self.knowledge.vocabulary.heads.items()}
        known = {} if self.labeled is None else {LABELED: self.labeled}
        rules = {rule.name: str(rule.formula) for rule in self.knowledge.rules}
        return {**self.images.facts(), "classes": self.widths[0], "heads": heads, "rules": rules, **known}

    def preprocessing(self) -> dict[str, Any]:
        return self.images.preprocessing()

    def class_names(self) -> Sequence[str] | None:
        return self.knowledge.vocabulary.heads[self.main].classes

    def chance(self) -> float | None:
        """Accuracy of the main head's most frequent class, in percent; None for a binary head."""
        table = self.tables[self.main]
        if table is None or table.ndim > 1:
            return None
        target = table[self.images.parts["test"].labels]
        known = target[target >= 0]
        return 100.0 * torch.bincount(known.cpu()).max().item() / max(len(target), 1)


def mixed(labeled: Tensor, share: float, shuffled: Tensor) -> Tensor:
    """(N,): a share of labeled samples, spread evenly and repeated in turn, among unlabeled ones; N samples in all.

    Args:
        labeled: (N,) bool. shuffled: a permutation (N,).
    """
    known, unknown = shuffled[labeled[shuffled]], shuffled[~labeled[shuffled]]
    if not len(known) or not len(unknown):
        return shuffled
    place = torch.arange(len(shuffled))
    before = (place * share).floor().long()
    is_known = ((place + 1) * share).floor().long() > before
    return torch.where(is_known, known[before % len(known)], unknown[(place - before) % len(unknown)])
