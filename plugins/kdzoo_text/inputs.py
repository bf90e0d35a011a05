"""What text batches hold: a mapping with `input_ids`, `attention_mask` and, for pairs, `token_type_ids`, each (B, T)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.protocol.outputs import Batch, map_tensors

TOKENS = "tokens"
"""What a task offers whose inputs are such a mapping."""
MASK = "attention_mask"


def mask_of(batch: Batch, encoding: str = "") -> Tensor:
    """1 where there is a token, 0 where there is padding (B, T)."""
    mask: Tensor = batch.inputs[f"{encoding}.{MASK}" if encoding else MASK]
    return mask


def cut(batch: Batch, parts: int) -> Sequence[Batch]:
    """At most `parts` micro-batches of consecutive samples, padded as the whole batch is."""
    if parts <= 1 or batch.size <= 1:
        return (batch,)
    cuts = torch.arange(batch.size).tensor_split(min(parts, batch.size))

    def piece(start: int, stop: int) -> Batch:
        own = map_tensors(lambda t: t[start:stop] if t.ndim and len(t) == batch.size else t, replace(batch, micros=()))
        return replace(own, size=stop - start, whole=batch.whole)

    return tuple(piece(int(each[0]), int(each[-1]) + 1) for each in cuts)


def padded(inputs: Mapping[str, Tensor], by: int, *, pad: int) -> dict[str, Tensor]:
    """The same inputs with more padding on the right."""
    return {name: F.pad(t, (0, by), value=pad if name.endswith("input_ids") else 0) for name, t in inputs.items()}
