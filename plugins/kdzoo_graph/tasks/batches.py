"""Batches of queries: cut into micro-batches, joined for evaluation, and one to try a model on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from kdzoo.protocol.outputs import MAIN, Batch, Output, map_tensors
from kdzoo.protocol.task import Task

NUMBERS = 2**25
"""Scores (queries x candidates) of one evaluation batch: each one encodes the whole graph again, so it is large."""


def cut(batch: Batch, parts: int, *, by_query: Sequence[str] = ()) -> Sequence[Batch]:
    """At most `parts` micro-batches. Of `extra` only what `by_query` names belongs to single queries; the rest is for all."""
    if parts <= 1 or batch.size <= 1:
        return (batch,)
    cuts = torch.arange(batch.size).tensor_split(min(parts, batch.size))

    def piece(places: Tensor) -> Batch:
        start, stop = int(places[0]), int(places[-1]) + 1
        own = map_tensors(lambda t: t[start:stop] if t.ndim and len(t) == batch.size else t, replace(batch, extra={}))
        extra = {key: value[start:stop] if key in by_query else value for key, value in batch.extra.items()}
        return replace(own, extra=extra, size=stop - start)

    return tuple(piece(places) for places in cuts)


def larger(order: Sequence[Tensor], candidates: int) -> Sequence[Tensor]:
    """The same sample indices in batches of as many as a score matrix of `NUMBERS` holds."""
    return torch.cat(list(order)).split(max(1, NUMBERS // candidates)) if len(order) else order


def answer(task: Task, model: nn.Module) -> Output:
    """What a model says of the task's example; it is left as it was."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            return task.forward(model, task.example(), MAIN)
    finally:
        model.train(was)
