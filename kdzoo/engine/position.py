"""Where training stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Position:
    """Everything before this stage, epoch and batch is done."""

    stage: int = 0
    epoch: int = 0
    batch: int = 0
