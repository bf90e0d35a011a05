"""Forms of scores other than a dense matrix. `Rows.logits` makes one dense when somebody asks for it, and not before.

Shapes: R rows, C classes, d hidden width, K kept entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError


class Form(Protocol):
    """Scores (R, C) in a form of their own."""

    @property
    def shape(self) -> tuple[int, int]:
        """(R, C)."""

    @property
    def device(self) -> torch.device: ...

    def dense(self) -> Tensor:
        """The scores as a matrix (R, C)."""


@dataclass(frozen=True)
class Linear:
    """Deferred logits: `scale * hidden @ weight.T + bias`.

    `hidden` (R, d), `weight` (C, d), `bias` (C,) or None.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.hidden.shape[0], self.weight.shape[0]

    @property
    def device(self) -> torch.device:
        return self.hidden.device

    def dense(self) -> Tensor:
        scores = torch.nn.functional.linear(self.hidden, self.weight) * self.scale
        return scores if self.bias is None else scores + self.bias


@dataclass(frozen=True)
class Sparse:
    """Some entries of each row: `values` (R, K) at the classes `ids` (R, K); every other of the `width` classes has `rest`."""

    values: Tensor
    ids: Tensor
    width: int
    rest: float = -1e4

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.width

    @property
    def device(self) -> torch.device:
        return self.values.device

    def dense(self) -> Tensor:
        return self.values.new_full(self.shape, self.rest).scatter(1, self.ids, self.values)


@dataclass(frozen=True)
class Absent:
    """No scores at all, of an answer that consists of features or heads.

    Attributes: owner: who gave it, in recipe words; rows: R; place: the device.
    """

    owner: str
    rows: int
    place: torch.device

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, 0

    @property
    def device(self) -> torch.device:
        return self.place

    def dense(self) -> Tensor:
        raise CapabilityError(
            f"{self.owner} gives no logits, so a method that compares logits cannot use it; give that method another teacher "
            "by its `teacher` setting, or remove it."
        )
