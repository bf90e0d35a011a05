"""Quiz batches: drawn from a split that the student never trains on, by a stream of random numbers of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError, PluginError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import LABELS
from kdzoo.protocol.outputs import Batch

QUIZ = "quiz"
WHOLE = 0
"""A quiz batch of this size is the whole quiz split."""


def draw(run: RunContext, label: str, place: Batch, *, size: int | None, augment: bool) -> list[tuple[Batch, float]]:
    """The quiz for the window that starts at `place`: micro-batches with their shares of the mean over its samples.

    Args:
        label: whose draw it is; two methods draw independently.
        size: samples, drawn without replacement; None is the training batch's, `WHOLE` all there are.
        augment: as in training.
    """
    return at(run, place, _indices(run, label, place, size), augment=augment)


def at(run: RunContext, place: Batch, chunks: Sequence[Tensor], *, augment: bool) -> list[tuple[Batch, float]]:
    """The quiz samples of some lists of indices, as micro-batches with their shares of the mean over all of them."""
    whole = sum(len(chunk) for chunk in chunks)
    mine = [run.processes.chunk(chunk) for chunk in chunks]
    batches = run.task.batches(QUIZ, mine, epoch=place.epoch, train=augment)
    placed = [replace(b, whole=whole, epoch=place.epoch, number=place.number) for b in batches]
    micros = [micro for batch in placed for micro in run.micros(batch)]
    micros = [replace(micro, part=part) for part, micro in enumerate(micros)]
    counts = run.counts(micros)
    return [(micro, run.share(micro, counts, LABELS)) for micro in micros]


def _indices(run: RunContext, label: str, place: Batch, size: int | None) -> Sequence[Tensor]:
    """Indices into the quiz split; the whole of it comes in equal pieces no larger than a training batch."""
    most, batch = run.task.size(QUIZ), int(run.settings["train"]["batch_size"])
    if size == WHOLE:
        return torch.arange(most).tensor_split(-(-most // batch))
    return [run.streams.permutation(most, "method", label, QUIZ, place.epoch, place.number)[: size or batch]]


def check(run: RunContext, label: str) -> None:
    """Refuse a quiz split that cannot be used.

    Raises:
        CapabilityError: fewer samples than two for each process. PluginError: the task put samples into two splits.
    """
    least = 2 * run.processes.size
    if run.task.size(QUIZ) < least:
        raise CapabilityError(
            f"methods.{label}: the quiz split has {run.task.size(QUIZ)} samples, at least {least} are needed; "
            f"raise methods.{label}.quiz or use more training data."
        )
    places = getattr(run.task, "places", {})
    for other in ("train", "validation"):
        if other in places and QUIZ in places and (shared := int(torch.isin(places[QUIZ], places[other]).sum())):
            raise PluginError(
                f"the task {run.settings['task']['use']!r} gives {shared} samples to both quiz and {other}, so the quiz would "
                "measure memory; splits of Needs.splits must be disjoint from all others: correct its `open`."
            )
