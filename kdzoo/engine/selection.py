"""Watching the validation split: evaluation each epoch, the best epoch's weights, early stopping.

The test split is not looked at here: the epoch is chosen on validation, never on test.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from kdzoo.engine.evaluate import evaluate
from kdzoo.engine.files import replace_file
from kdzoo.engine.metrics_log import MetricsLog
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.protocol.needs import MAIN_STAGE


class Selection(Observer):
    """Evaluates on validation, keeps the best epoch in `best.safetensors`, and says when training should stop.

    Args:
        every: epochs between evaluations; the last epoch of the run is always evaluated.
        patience: stop after this many evaluations without a better one; None never stops.
    """

    def __init__(self, path: Path, recorder: MetricsLog, *, every: int, patience: int | None) -> None:
        self.path, self.recorder, self.every, self.patience = path, recorder, every, patience
        self.best: float | None = None
        self.best_epoch, self.since_best = 0, 0
        self.latest: dict[str, float] = {}

    @property
    def should_stop(self) -> bool:  # type: ignore[override]
        return self.patience is not None and self.since_best >= self.patience

    def epoch_done(self, run: Run, position: Position) -> None:
        last = position.epoch >= run.progress.epochs
        if run.stage != MAIN_STAGE or not (last or position.epoch % self.every == 0) or not run.task.size("validation"):
            return
        model = run.deployed()
        self.latest = evaluate(run, model, "validation").metrics
        value = self.latest[run.task.metric]
        sign = 1.0 if run.task.higher_is_better else -1.0
        if self.best is None or sign * value > sign * self.best or math.isnan(self.best):
            self.best, self.best_epoch, self.since_best = value, position.epoch, 0
            if run.processes.is_main:
                save_weights(model, self.path)
        else:
            self.since_best += 1
        self.recorder.write(
            {"event": "epoch", "epoch": position.epoch, "epochs": run.progress.epochs, "validation": self.latest}
        )

    def state(self) -> dict[str, Any]:
        names = ("best", "best_epoch", "since_best", "latest")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a module's state as safetensors, atomically."""
    state: dict[str, Tensor] = {name: t.detach().cpu().clone().contiguous() for name, t in model.state_dict().items()}
    replace_file(path, lambda beside: save_file(state, beside))
