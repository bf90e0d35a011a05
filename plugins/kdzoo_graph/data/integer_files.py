"""Files of tab-separated whole numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.errors import RecipeError

WHAT = {2: "two entities", 3: "head, relation and tail"}


def parse(text: bytes, where: str, *, columns: int) -> Tensor:
    """(N, columns) int64; empty lines are skipped. Raises RecipeError with the line that is malformed."""
    rows = []
    for number, line in enumerate(text.split(b"\n"), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != columns or not all(field.isdigit() for field in fields):
            shown = line.decode(errors="replace").strip()
            raise RecipeError(
                f"{where}, line {number}: expected {WHAT[columns]} as numbers separated by tabs, got {shown[:60]!r}; "
                "correct the line."
            )
        rows.append([int(field) for field in fields])
    return torch.tensor(rows, dtype=torch.int64).view(-1, columns)
