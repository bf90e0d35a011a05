"""Concepts: several heads on the samples of any task that has labels (images, texts), and knowledge over them.

The model is an ordinary classifier of that task whose logits are those of all heads in order; `separate_heads` gives each head
of an image a network of its own. The output's rows are the first head, and each head has rows of its own under its name, so a
method reads another one by `reads`. Labels of all heads come from the data's. With `labeled` only so many training samples keep
theirs; the others take part with label weight 0: rules, teachers and pseudo-labels still see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kdzoo.data.splits import stratified
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.needs import LABELS, ROWS, Needs
from kdzoo.protocol.outputs import MAIN, Batch, Output, Rows
from kdzoo.protocol.task import Model, Task
from kdzoo.random import Streams
from kdzoo.ranges import above, at_least, between
from kdzoo_knowledge.declaration.knowledge import Knowledge
from kdzoo_knowledge.declaration.section import Declared, KnowledgeSection, declared
from kdzoo_knowledge.declaration.vocabulary import SAMPLE
from kdzoo_knowledge.grounded import CAPABILITY
from kdzoo_knowledge.inference.most_probable import How, MostProbable
from kdzoo_knowledge.tasks.heads import cut, heads_loss, targets_of
from kdzoo_knowledge.tasks.meter import ConceptMeter

LABELED = "labeled"


class Concepts(Task):
    """Tell several concepts of a sample at once.

    Args:
        samples: a task whose samples have one label each: `image_classification`, `text_classification`.
        knowledge: heads, hierarchies and rules; docs/knowledge.md has the language.
        labeled: training samples that keep their labels, a stratified subset drawn with `subset_seed`; None keeps all.
        labeled_share: share of labeled samples in each batch, drawn again and again; None takes each sample once an epoch.
        inference: how the test also infers the most probable state in which the rules hold; None leaves it out.
        time_limit: seconds of an integer program for 64 samples.
    """

    metric = "accuracy"
    bounds = (0.0, 100.0)
    tells: ClassVar[Mapping[str, Any]] = {"head_widths": (2, 3)}

    def __init__(
        self,
        *,
        samples: Task,
        knowledge: KnowledgeSection,
        labeled: int | None = None,
        subset_seed: int = 0,
        labeled_share: float | None = None,
        inference: How | None = "auto",
        time_limit: float | None = 10.0,
    ) -> None:
        at_least(1, labeled=labeled)
        between(0, 1, labeled_share=labeled_share)
        above(0, time_limit=time_limit)
        if labeled is None and labeled_share is not None:
            raise ValueError("labeled_share needs labeled, the number of samples that keep their labels")
        if "labels" not in samples.capabilities:
            raise ValueError(
                "samples must be a task whose samples have one class each, such as image_classification without mixup and "
                "cutmix, or text_classification without scores"
            )
        self.section, self.labeled, self.labeled_share, self.subset_seed = knowledge, labeled, labeled_share, subset_seed
        self.inference, self.time_limit, self.samples = inference, time_limit, samples
        self.capabilities = samples.capabilities - {"quiz", "labels"} | {CAPABILITY}
        self.heads = frozenset(knowledge.heads)
        if samples.class_names() or not knowledge.names_data:
            declared(knowledge, samples.class_names())  # what contradicts itself is told before data are read
        self.views_offered, self.evaluation_batch = samples.views_offered, samples.evaluation_batch

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        return self.samples.fingerprint(root)

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        self.device = device
        self.samples.open(needs=needs, streams=streams, device=device, root=root)
        labels = {split: self.samples.labels(split).cpu() for split in ("train", "test")}
        count = 1 + max(int(own.max()) for own in labels.values())
        names = self.samples.class_names() or [str(number) for number in range(count)]
        self.declared: Declared = declared(self.section, names)
        heads = self.knowledge.vocabulary.heads
        self.main = next(iter(heads))
        tables = {name: targets_of(head, self.declared.covered[name], len(names)) for name, head in heads.items()}
        self.tables = {name: None if table is None else table.to(device) for name, table in tables.items()}
        if self.tables[self.main] is None:
            raise RecipeError(
                f"task.knowledge.heads.{self.main} stands first, so its accuracy is the task's metric, but its classes cover "
                "no labels; name a head with labels first."
            )
        self.guess = chance_of(tables[self.main], labels["test"])
        self.mask = self._mask(labels["train"])
        self.on_device = None if self.mask is None else self.mask.to(device)

    @property
    def knowledge(self) -> Knowledge:
        """Heads and rules."""
        return self.declared.knowledge

    def _mask(self, labels: Tensor) -> Tensor | None:
        """Which training samples keep their labels, on the host; None for all."""
        if self.labeled is None:
            return None
        if self.labeled > len(labels):
            raise RecipeError(f"task.labeled is {self.labeled}, but there are {len(labels)} training samples.")
        mask = torch.zeros(len(labels), dtype=torch.bool)
        mask[stratified(labels, self.labeled, seed=self.subset_seed, stream="labeled")] = True
        return mask

    def size(self, split: str) -> int:
        return self.samples.size(split)

    def order(self, epoch: int, streams: Streams, *, batch_size: int) -> Tensor:
        if self.mask is None or self.labeled_share is None:
            return self.samples.order(epoch, streams, batch_size=batch_size)
        return mixed(self.mask, self.labeled_share, streams.permutation(len(self.mask), "order", epoch).cpu())

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        for index, batch in zip(order, self.samples.batches(split, order, epoch=epoch, train=train), strict=True):
            if split != "train" or self.mask is None:
                yield batch
            else:
                known = tuple(self.mask[index.cpu()].tolist())
                yield replace(batch, extra={**batch.extra, LABELED: known})

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        pieces, start = [], 0
        for piece in self.samples.split(batch, parts):
            known = batch.extra.get(LABELED)
            extra = piece.extra if known is None else {**piece.extra, LABELED: known[start : start + piece.size]}
            pieces.append(replace(piece, extra=extra))
            start += piece.size
        return pieces

    def counts(self, batch: Batch) -> Mapping[str, float]:
        known = batch.extra.get(LABELED)
        return {ROWS: batch.size, LABELS: batch.size if known is None else sum(known)}

    def context(self) -> Any:
        return self.samples.context()

    def example(self) -> Batch:
        return self.samples.example()

    # -- models ------------------------------------------------------------------------------------------------------

    @property
    def widths(self) -> tuple[int, ...]:
        """Classes of each head."""
        return tuple(len(head.classes) for head in self.knowledge.vocabulary.heads.values())

    def build(self, model: Model) -> nn.Module:
        answers = [str(atom) for head in self.knowledge.vocabulary.heads.values() for atom in head.atoms]
        return self.samples.build_for(Told(model.name, model, {"head_widths": self.widths}), answers)

    def sketch(self, model: Model) -> nn.Module | None:
        return self.samples.sketch(Told(model.name, model, {"head_widths": [2, 3]}))

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        logits, heads = self.samples.forward(model, batch, view).rows.logits, self.knowledge.vocabulary.heads
        if logits.shape[1] != sum(self.widths):
            raise CapabilityError(
                f"a model of concepts must return logits (samples, {sum(self.widths)}), those of all heads; "
                f"this one returned {tuple(logits.shape)}."
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

    @torch.no_grad()
    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse a teacher with other heads."""
        was = teacher.training
        self.forward(teacher.eval(), self.example(), MAIN)
        teacher.train(was)

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
        return {**self.samples.facts(), "classes": self.widths[0], "heads": heads, "rules": rules, **known}

    def remarks(self) -> Sequence[str]:
        return self.samples.remarks()

    def preprocessing(self) -> dict[str, Any]:
        return self.samples.preprocessing()

    def save_preprocessing(self, folder: Path, model: nn.Module) -> None:
        self.samples.save_preprocessing(folder, model)

    def free_axes(self) -> Mapping[int, tuple[str, int]]:
        return self.samples.free_axes()

    def class_names(self) -> Sequence[str] | None:
        return self.knowledge.vocabulary.heads[self.main].classes

    def chance(self) -> float | None:
        """Accuracy of the main head's most frequent class, in percent; None for a binary head."""
        return self.guess


@dataclass
class Told:
    """A model that is told more than its task tells it."""

    name: str
    model: Model
    more: Mapping[str, Any]

    def __call__(self, **context: int) -> nn.Module:
        return self.model(**context, **self.more)


def chance_of(table: Tensor | None, labels: Tensor) -> float | None:
    """Percent of the samples with these labels (N,) that have a head's most frequent class; None for a binary head."""
    if table is None or table.ndim > 1:
        return None
    target = table[labels]
    known = target[target >= 0]
    return 100.0 * torch.bincount(known).max().item() / len(known) if len(known) else None


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
