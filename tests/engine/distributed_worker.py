"""What each torchrun process of `test_distributed.py` does: train every recipe of a folder for an epoch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.stages import StagePlan
from kdzoo.recipe.load import load


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    for recipe in sorted(folder.glob("*.yaml")):
        run = assemble(load(recipe).settings)
        train(run, StagePlan.of(run, 1, {}), Feed(run), Observer(), Position())
        if run.processes.is_main:
            out = recipe.with_name(f"{recipe.stem}-{run.processes.size}.pt")
            torch.save({name: parameter.detach() for name, parameter in run.trainable().items()}, out)
        if dist.is_initialized():
            run.processes.barrier()
    os._exit(0)  # torch sometimes aborts while gloo's threads are torn down, long after the work is done


if __name__ == "__main__":
    main(Path(sys.argv[1]))
