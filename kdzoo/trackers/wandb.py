"""Weights & Biases; offline unless the recipe or WANDB_MODE says otherwise (`wandb sync` uploads later).

A run stays one run there however often it is resumed, and the cells of a bench are a group.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

ID = "wandb.id"
"""The file in a run folder with the run's id at wandb."""


class WandB:
    """Log to wandb.

    Args:
        project: wandb's project.
        mode: `offline` writes a run file into the run folder; the environment variable WANDB_MODE wins.
    """

    kdzoo_kind = "trackers"

    def __init__(self, *, project: str = "kdzoo", mode: Literal["offline", "online", "disabled"] = "offline") -> None:
        self.project, self.mode = project, mode

    def start(self, *, name: str, group: str, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", self.mode)
        quiet = wandb.Settings(silent=True, console="off")
        self.run = wandb.init(
            project=self.project,
            name=name,
            group=group or None,
            id=_lasting_id(folder / ID),
            resume="allow",
            dir=str(folder),
            mode=mode,
            config=dict(settings),
            settings=quiet,
            reinit="create_new",
        )

    def log(self, values: Mapping[str, float], *, step: int, line: int) -> None:
        self.run.log(dict(values), step=line)  # what wandb has seen before a resumed run's checkpoint it leaves out

    def finish(self, summary: Mapping[str, Any]) -> None:
        self.run.summary.update(dict(summary))
        self.run.finish()


def _lasting_id(file: Path) -> str:
    """The id in a file, made if there is none."""
    if not file.is_file():
        file.write_text(secrets.token_hex(8))
    return file.read_text().strip()
