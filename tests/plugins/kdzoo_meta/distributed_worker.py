"""What each process of `test_distributed.py` does: train each recipe of a folder for one epoch, save student and teacher."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import meta_cases
import torch
from torch import Tensor

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.recipe.load import load


def trained(recipe: Path) -> tuple[Run, dict[str, Tensor]]:
    """The run after an epoch, and the parameters of both networks."""
    run = assemble(load(recipe).settings)
    train(run, StagePlan.of(run, 1, {}), Feed(run), Observer(), Position())
    models = {"student": run.student, "teacher": run.model("teacher")}
    return run, {f"{role}.{n}": p.detach() for role, model in models.items() for n, p in model.named_parameters()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    meta_cases.register()
    for recipe in sorted(Path(sys.argv[1]).glob("*.yaml")):
        run, weights = trained(recipe)
        if run.processes.is_main:
            torch.save(weights, recipe.with_suffix(".pt"))
    run.processes.barrier()
    os._exit(0)  # torch sometimes aborts while gloo's threads are torn down, long after the work is done
