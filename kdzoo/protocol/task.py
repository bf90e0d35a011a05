"""The role of a task: what data mean, and how a model is run on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from kdzoo.protocol.needs import LABELS, ROWS, Needs
from kdzoo.protocol.outputs import Batch, Output
from kdzoo.random import Streams

NUMBER = "number"
"""Where a batch of training samples keeps their numbers in the task's pool, in `extra`."""


@runtime_checkable
class Model(Protocol):
    """A model that is not built yet: the task supplies what depends on the data (`classes`, `size`, `entities`, ...)."""

    name: str

    def __call__(self, **context: int) -> nn.Module: ...


class Meter(Protocol):
    """Accumulates one evaluation."""

    def update(self, output: Output, batch: Batch) -> None: ...

    def result(self) -> dict[str, float]:
        """The metrics, the task's headline metric among them."""

    def arrays(self) -> dict[str, Tensor]:
        """What is kept of each sample, under names of the meter's own (`logits`, `ranks`); saved as `last.<name>` and so on.

        `score` (N,), where there is one, has the headline metric as its mean; reports draw test items anew from it.
        """


class Task:
    """Base of every task. Members without a body must be defined; the others have a usual default.

    Attributes:
        capabilities: what methods may ask for (`classes`, `features`, `index`, `views`, `quiz`, ...). Of a task with `labels`,
            other tasks may ask other things about the same samples, by `labels` and `build_for`.
        views_offered: names of the views that methods may ask for, where the capability `views` is there; None: `open` says.
        metric: the name of the headline metric in `Meter.result`; `higher_is_better` its direction.
        bounds: the lowest and the highest value that the metric can have; None where nobody knows.
        unit: what a sample is called where speeds are shown: `images`, `queries`.
        tells: the numbers that models are told by `build`, each with a usual value, by which a model's settings are tried
            before the data are there; a model's parameters of these names are no settings.
        heads: names of the heads of rows that a method's `reads` may name; None: only an output says.
        evaluation_batch: samples of an evaluation batch, which keeps no graph.
        distributions: whether a row of logits stands for a distribution (over classes, entities), not for numbers to predict.
        fixed_inputs: whether a sample's inputs are the same in every epoch, so that a teacher's answers may be kept.
        changing: the settings that make them change, as far as they are known before the data are read; for messages.
    """

    kdzoo_kind: ClassVar[str] = "tasks"
    capabilities: frozenset[str] = frozenset()
    views_offered: frozenset[str] | None = None
    metric: str
    higher_is_better: bool = True
    bounds: tuple[float, float] | None = None
    unit: ClassVar[str] = "samples"
    tells: ClassVar[Mapping[str, Any]] = {}
    heads: frozenset[str] | None = None
    evaluation_batch: int = 512
    distributions: bool = True
    fixed_inputs: bool = False
    changing: Sequence[str] = ()

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        """Hash of the data's content, part of a run's identity; `root` is where data sets are searched."""
        raise NotImplementedError

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        """Load the data and fix the splits (`train`, `validation`, `test` and those of `needs.splits`)."""
        raise NotImplementedError

    def size(self, split: str) -> int:
        """Samples in a split; 0 where it does not exist."""
        raise NotImplementedError

    def order(self, epoch: int, streams: Streams, *, batch_size: int) -> Tensor:
        """The training samples (N,) in an epoch's order, decided by the seed.

        Batches of `batch_size` are cut from it in turn, so a task may put samples of one length next to each other.
        """
        return streams.permutation(self.size("train"), "order", epoch)

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        """The batches whose sample indices `order` lists, on the device, augmented if `train`."""
        raise NotImplementedError

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        """Cut a batch into at most `parts` micro-batches."""
        raise NotImplementedError

    def counts(self, batch: Batch) -> Mapping[str, float]:
        """What losses average over in this batch, by name: `rows`, `labels` (rows that have one), and others (`tokens`).

        Known without a look at the device. `samples` is added by the engine. For a head that is made of rows, `<head>.rows` and
        `<head>.labels` count its own; without them a head counts like the main rows.
        """
        return {ROWS: batch.size, LABELS: batch.size}

    def labels(self, split: str) -> Tensor:
        """The class (N,) of each sample of a split, as its batches have it in `target`; for the capability `labels`."""
        raise NotImplementedError

    def pool(self) -> int:
        """Training samples, held-out ones included, that have a number each, the same in every run on these data; 0: none."""
        return 0

    def numbers(self, batch: Batch) -> Tensor | None:
        """The numbers (B,) of a batch's samples in the pool, by default `batch.extra[NUMBER]`; None for others."""
        return batch.extra.get(NUMBER)

    def pooled(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        """Batches of samples by their numbers in the pool, as evaluation sees them."""
        raise NotImplementedError

    def positions(self, batch: Batch, model: nn.Module) -> Tensor | None:
        """Where a batch is padded: which positions of each sample are its own, bool (B, T), in features (B, T, ...) of `model`.

        A sample has as many in every batch. None: the features of all samples have one shape.
        """
        return None

    def context(self) -> Any:
        """Static data beside the batches (a graph), on the device."""
        return None

    def example(self) -> Batch:
        """Two training samples, to find out shapes."""
        raise NotImplementedError

    # -- models ------------------------------------------------------------------------------------------------------

    def build(self, model: Model) -> nn.Module:
        """Build a model for this data."""
        raise NotImplementedError

    def build_teacher(self, model: Model) -> nn.Module:
        """Build a model that was trained elsewhere, whose own account of itself must stay; by default as `build` does."""
        return self.build(model)

    def sketch(self, model: Model) -> nn.Module | None:
        """The model as `build` would make it, before the data are there; None where nobody knows what it would be told.

        `kdzoo check` finds by it what a constructor refuses, and taps that are not there. It is called where modules get no
        memory; nothing runs them. What the data declare (`Data.declares`) is told, and for the rest something usual.
        """
        return None

    def build_for(self, model: Model, answers: Sequence[str]) -> nn.Module:
        """Build a model that gives a logit for each of these answers, not for each class; for the capability `labels`."""
        raise NotImplementedError

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        """Run a model on one view of a batch. `model` may carry substituted parameters: call it, nothing else."""
        raise NotImplementedError

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse, with a CapabilityError, a teacher whose rows cannot be compared with the student's (classes, tokenizers).

        Asked for the teachers of methods that need it (`Needs.aligned`).
        """

    def supervised(self, output: Output) -> Tensor:
        """The task's own loss against its labels, a scalar mean over the rows that have one."""
        raise NotImplementedError

    # -- results -----------------------------------------------------------------------------------------------------

    def meter(self, split: str) -> Meter:
        """A fresh accumulator for one evaluation."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What the results should say of the data, as JSON data: sizes, classes, fingerprints."""
        return {}

    def chance(self) -> float | None:
        """The headline metric of guessing; None where nobody knows."""
        return None

    def fidelity(self, own: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> dict[str, float]:
        """How far a model's answers are its teacher's, by measure; both are arrays of meters on one split."""
        return {}

    def reading(self) -> str:
        """Python source of a function `read(path)` that makes an input of one file, by torch, numpy and Pillow (`torch`, `F`,
        `np`, `Image`) and the exported `CARD`; it is written into the example beside an export. Empty: there is none.
        """
        return ""

    def class_names(self) -> Sequence[str] | None:
        """Names of the classes, for reports and exports; None where there are none, or before `open` only the data know."""
        return None

    def remarks(self) -> Sequence[str]:
        """Sentences that a run says at its start: what is done with the data that their owner may not expect."""
        return ()

    def preprocessing(self) -> dict[str, Any]:
        """How raw samples become inputs, as JSON data for an exported model (mean and sd per channel)."""
        return {}

    def save_preprocessing(self, folder: Path, model: nn.Module) -> None:
        """Write what makes inputs of raw samples (a tokenizer) beside an exported model; nothing by default."""

    def free_axes(self) -> Mapping[int, tuple[str, int]]:
        """Axes of the inputs, besides the first, whose size changes from batch to batch: their names and largest sizes."""
        return {}
