"""Evaluate a module on a split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdzoo.engine.precision import full_rows
from kdzoo.errors import PluginError
from kdzoo.protocol.blame import each_of, hook_of, returned
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import MAIN, Output


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, and the per-sample arrays behind them (predictions)."""

    metrics: dict[str, float]
    arrays: dict[str, Tensor]


@torch.no_grad()
def evaluate(run: RunContext, model: nn.Module, split: str) -> Evaluation:
    """The task's metrics of `model` in eval mode on a whole split; its mode is restored."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        meter = run.task.meter(split)
        order = torch.arange(run.task.size(split)).split(run.task.evaluation_batch)
        for batch in each_of(run.task.batches(split, order, epoch=0, train=False), "task", "batches"):
            with run.precision.autocast(), hook_of("task", "forward"):
                output = returned(run.task.forward(model, batch, MAIN), Output, "task", "forward")
            with hook_of("task", "the meter's update"):
                meter.update(full_rows(output), batch)
        with hook_of("task", "the meter's result"):
            metrics = returned(meter.result(), dict, "task", "the meter's result")
        if run.task.metric not in metrics:
            found = ", ".join(metrics) or "nothing"
            raise PluginError(f"task: the meter's result must have the task's metric {run.task.metric!r}, it has {found}.")
        return Evaluation(metrics, meter.arrays())
    finally:
        for module, was in modes:
            module.training = was
