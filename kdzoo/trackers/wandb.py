"""Weights & Biases; offline unless the recipe or WANDB_MODE says otherwise (`wandb sync` uploads later)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal


class WandB:
    """Log to wandb.

    Args:
        project: wandb's project.
        mode: `offline` writes a run file into the run folder; the environment variable WANDB_MODE wins.
    """

    kdzoo_kind = "trackers"

    def __init__(self, *, project: str = "kdzoo", mode: Literal["offline", "online", "disabled"] = "offline") -> None:
        self.project, self.mode = project, mode

    def start(self, *, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", self.mode)
        quiet = wandb.Settings(silent=True, console="off")
        self.run = wandb.init(
            project=self.project,
            name=name,
            dir=str(folder),
            mode=mode,
            config=dict(settings),
            settings=quiet,
            reinit="create_new",
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values))

    def finish(self, summary: Mapping[str, Any]) -> None:
        self.run.summary.update(dict(summary))
        self.run.finish()
