"""What LONDON's Lipschitz term costs: a training step with it, over a step of OFD.

A contender is a run of `ofd`, or of `london` in one of its variants, on random images; a second run of `ofd` is the A/A
control. Each round trains the same number of steps with one contender after the other, in a random order; the figure is the
median over rounds of the paired ratio of process CPU time to OFD's.
Run: `OMP_NUM_THREADS=1 python benchmarks/lipschitz_cost.py [--rounds 11]`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from kdzoo.engine.assemble import assemble
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.training_step import train_step
from kdzoo.protocol.outputs import Progress
from kdzoo.recipe.load import load
from kdzoo.testing import first_window

BATCH, WARM_UP = 64, 3
CONTENDERS: dict[str, dict[str, Any]] = {
    "ofd": {"ofd": {}},
    "ofd again": {"ofd": {}},
    "london, detached": {"london": {}},
    "london, detached, connected": {"london": {"pairing": "connected"}},
    "london, unrolled, 10 steps": {"london": {"gradient": "unrolled", "start": "drawn", "iterations": 10}},
    "london, unrolled, 5 steps": {"london": {"gradient": "unrolled", "start": "ones", "iterations": 5}},
}
PAIRS: dict[str, tuple[Any, Any, int, int]] = {
    "tiny_cnn 32-64-128 -> 8-16-32": (
        {"use": "tiny_cnn", "widths": [32, 64, 128]},
        {"use": "tiny_cnn", "widths": [8, 16, 32]},
        1,
        28,
    ),
    "resnet20 -> resnet8": ("resnet20", "resnet8", 3, 32),
}


def recipe(teacher: Any, student: Any, channels: int, side: int, methods: dict[str, Any]) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2 * BATCH, channels, side, side), dtype=torch.uint8, generator=draw)
    labels = torch.arange(2 * BATCH) % 10
    data = {"use": "tensors", "train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    return {
        "task": {"data": data, "validation": 0.0, "crop": 0, "flip": False},
        "student": student,
        "teacher": {"use": "frozen", "model": teacher},
        "methods": {"hard_label": {}, **methods},
        "optimizers": {"student": {"use": "sgd", "lr": 0.01}},
        "train": {"epochs": 1, "batch_size": BATCH},
        "runtime": {"device": "cpu"},
    }


def steps_of(run: Run, steps: int) -> Callable[[], None]:
    """`steps` training steps on one batch, the frozen teacher's answer included."""
    batch = first_window(run)[0]

    def trained() -> None:
        for number in range(steps):
            run.progress = Progress(0, 1, number, steps + 1)
            for micro in batch.micros:
                micro.answers.clear()
            train_step(run, batch)

    return trained


def measured(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    order, times = random.Random(0), {name: [] for name in contenders}
    for _ in range(rounds):
        for name in order.sample(list(contenders), len(contenders)):
            begin = time.process_time()
            contenders[name]()
            times[name].append(time.process_time() - begin)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for pair, (teacher, student, channels, side) in PAIRS.items():
        with ExitStack() as stack:
            contenders = {}
            for name, methods in CONTENDERS.items():
                run = assemble(load(recipe(teacher, student, channels, side, methods)).settings)
                stack.enter_context(StagePlan.of(run, 1, {}).entered(run, 0))
                contenders[name] = steps_of(run, given.steps)
                steps_of(run, WARM_UP)()
            times = measured(contenders, given.rounds)
        ratios = {name: [a / b for a, b in zip(each, times["ofd"], strict=True)] for name, each in times.items()}
        shown = {
            name: {
                "ratio": round(statistics.median(each), 3),
                "quartiles": [round(q, 3) for q in statistics.quantiles(each)[::2]],
            }
            for name, each in ratios.items()
        }
        step = 1000 * statistics.median(times["ofd"]) / given.steps
        print(json.dumps({"pair": pair, "ofd_ms_per_step": round(step, 2), "to_ofd": shown}, indent=1))


if __name__ == "__main__":
    main()
