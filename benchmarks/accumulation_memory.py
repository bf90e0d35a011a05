"""Peak memory of a run whose batch is split into micro-batches: `train.accumulate` has to bound it.

A linear student and teacher over many classes, so that logits are what takes memory; one process a measurement. Run:
`OMP_NUM_THREADS=1 python benchmarks/accumulation_memory.py [--classes 16000]`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys

import torch

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.results import environment
from kdzoo.engine.stages import StagePlan
from kdzoo.recipe.load import load

BATCH, STEPS = 1024, 3


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(classes: int, accumulate: int) -> float:
    """Megabytes by which an epoch raises the peak."""
    images = torch.zeros(BATCH * STEPS, 1, 4, 4, dtype=torch.uint8)
    labels = torch.arange(BATCH * STEPS) % classes
    labels[-1] = classes - 1
    test = images[:2], torch.tensor([0, classes - 1])
    data = {"use": "tensors", "train_images": images, "train_labels": labels, "test_images": test[0], "test_labels": test[1]}
    recipe = {
        "task": {"data": data, "validation": 0.0, "crop": 0, "flip": False},
        "student": "linear",
        "teacher": {"use": "frozen", "model": "linear"},
        "methods": {"hard_label": {}, "kd": {}},
        "train": {"epochs": 1, "batch_size": BATCH, "accumulate": accumulate},
        "runtime": {"device": "cpu"},
    }
    run = assemble(load(recipe).settings)
    before = megabytes()
    train(run, StagePlan.of(run, 1, {}), Feed(run), Observer(), Position())
    return megabytes() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, default=16000)
    parser.add_argument("--accumulate", type=int, help="measure this one in this process")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.accumulate:
        print(one(asked.classes, asked.accumulate))
        return
    found = {}
    for accumulate in (1, 4, 8):
        words = [sys.executable, __file__, "--classes", str(asked.classes), "--accumulate", str(accumulate)]
        found[accumulate] = round(float(subprocess.run(words, check=True, capture_output=True, text=True).stdout), 1)
    print(
        json.dumps(
            {"classes": asked.classes, "megabytes by micro-batches": found, **environment(torch.device("cpu"))}, indent=1
        )
    )


if __name__ == "__main__":
    main()
