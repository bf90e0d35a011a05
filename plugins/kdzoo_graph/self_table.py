"""A teacher that costs nothing: the student's own input table, as it stands or as a moving average.

In decentRL an entity is encoded from the others' rows, so its own row, which the others' encodings train, knows something that
its encoding has to find out. The answer holds the table as the head `table` (n, d), without gradient. It has no opinion on
candidates: methods that compare logits are told so.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError, did_you_mean
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.forms import Absent
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.teacher import Teacher
from kdzoo.ranges import at_least_and_below

TABLE = "table"


class SelfTable(Teacher):
    """The student's input table as its teacher.

    Args:
        table: name of the parameter; None takes the one that the model names itself (`input_table`), or its input embeddings.
        momentum: how much of the moving average stays at each step; None is the live table, as in decentRL.
    """

    frozen = False

    def __init__(self, *, table: str | None = None, momentum: float | None = None) -> None:
        super().__init__()
        at_least_and_below(0, 1, momentum=momentum)
        self.table, self.momentum = table, momentum

    def build(self, run: RunContext) -> None:
        rows = table_of(run.student, self.table, f"teachers.{self.name}.table")
        if self.momentum is not None:
            self.register_buffer("average", rows.detach().clone())

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        rows = self._live(run) if self.momentum is None else self.get_buffer("average")
        return Output(Rows(Absent(f"teachers.{self.name}", batch.size, rows.device)), heads={TABLE: rows.detach()})

    @torch.no_grad()
    def after_step(self, run: RunContext) -> None:
        if self.momentum is not None:
            self.get_buffer("average").lerp_(self._live(run), 1 - self.momentum)

    def _live(self, run: RunContext) -> Tensor:
        return table_of(run.student, self.table, f"teachers.{self.name}.table")


def table_of(model: nn.Module, name: str | None, where: str) -> Tensor:
    """A model's input table (n, d). Raises CapabilityError where it has none of that name, or names none."""
    named = dict(model.named_parameters())
    name = name or getattr(model, "input_table", None) or _embeddings(model, named)
    if name not in named or named[name].ndim != 2:
        tables = [key for key, parameter in named.items() if parameter.ndim == 2]
        found = f"there is no parameter {name!r} of two dimensions" if name else f"{type(model).__name__} names no input table"
        raise CapabilityError(f"{where}: {found} in the student; {did_you_mean(name or 'table', tables)}")
    return named[name]


def _embeddings(model: nn.Module, named: Mapping[str, nn.Parameter]) -> str | None:
    """The parameter behind the `get_input_embeddings` of the transformers library."""
    getter = getattr(model, "get_input_embeddings", None)
    weight = getattr(getter(), "weight", None) if callable(getter) else None
    return next((key for key, parameter in named.items() if parameter is weight), None)
