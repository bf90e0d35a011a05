"""TensorBoard event files in the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdzoo.errors import MissingError
from kdzoo.extras import command


class TensorBoard:
    """Log scalars to `<run folder>/tensorboard`. Needs the extra `tensorboard`."""

    kdzoo_kind = "trackers"

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingError(f"the tensorboard tracker needs tensorboard; run: {command('tensorboard')}") from None
        self.writer_class = SummaryWriter

    def start(self, *, name: str, group: str, folder: Path, settings: Mapping[str, Any]) -> None:
        self.writer = self.writer_class(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]

    def log(self, values: Mapping[str, float], *, step: int, line: int) -> None:
        for key, value in values.items():
            self.writer.add_scalar(key, value, step)  # type: ignore[no-untyped-call]

    def finish(self, summary: Mapping[str, Any]) -> None:
        self.writer.close()  # type: ignore[no-untyped-call]
