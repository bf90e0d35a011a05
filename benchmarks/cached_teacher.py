"""What a teacher costs on texts: a training step with labels alone, with cached answers, and with a live teacher.

The pair is that of recipes/trec: a BERT of 2 layers and width 144 beside MiniLM-L6, 32 TREC questions a step. Each round times
the same steps of one contender after the other in a random order; the figure is the median over rounds of the paired ratio of
process CPU time to that of labels alone, with a second run of these as the control. Also said: what filling the store costs,
and the largest difference of cached and live logits. Needs `kdzoo data fetch text`; the teacher is not fine-tuned, which costs
the same.
Run: `OMP_NUM_THREADS=1 python benchmarks/cached_teacher.py [--rounds 9] [--steps 4]`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from itertools import islice
from typing import Any

import torch

from kdzoo.engine.feed import Feed
from kdzoo.engine.results import environment
from kdzoo.engine.run import Run
from kdzoo.engine.training_step import train_step
from kdzoo.recipe.load import load
from kdzoo.testing import tiny_run

MODEL = "{use: hf, name: all-MiniLM-L6-v2, freeze: ['*embeddings*']}"
CONTENDERS: dict[str, tuple[str, list[str]]] = {
    "labels": ("trec/ce", []),
    "labels again": ("trec/ce", []),
    "cached": ("trec/kd", [f"teacher={{use: cached, model: {MODEL}}}"]),
    "live": ("trec/kd", [f"teacher={{use: frozen, model: {MODEL}}}"]),
}


def cpu_time(run: Run, steps: int) -> float:
    """Of the first steps of an epoch."""
    feed = Feed(run)
    batches = run.task.batches("train", list(islice(feed.order(0), steps)), epoch=0, train=True)
    before = time.process_time()
    for batch in batches:
        train_step(run, batch)
    return time.process_time() - before


def largest_difference(cached: Run, live: Run) -> float:
    (batch,) = cached.task.batches("train", [torch.arange(64)], epoch=0, train=True)
    with torch.no_grad():
        answers = [run.answer("teacher", batch).rows.logits for run in (cached, live)]
    return float((answers[0] - answers[1]).abs().max())


def measure(rounds: int, steps: int, out: str, ready: ExitStack) -> dict[str, Any]:
    common = [f"runtime.out={out}", "runtime.device=cpu"]
    runs = {name: ready.enter_context(tiny_run(load(r, [*own, *common]))) for name, (r, own) in CONTENDERS.items()}
    teacher: Any = runs["cached"].teachers["teacher"]
    before = time.process_time()
    teacher.fill(runs["cached"])
    filling = time.process_time() - before
    runs["live"].model("teacher").load_state_dict(runs["cached"].model("teacher").state_dict())
    difference = largest_difference(runs["cached"], runs["live"])
    for run in runs.values():
        cpu_time(run, 1)  # first steps allocate
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name in random.sample(list(runs), len(runs)):
            times[name].append(cpu_time(runs[name], steps))
    ratios = {
        name: [own / labels for own, labels in zip(times[name], times["labels"], strict=True)]
        for name in runs
        if name != "labels"
    }
    return {
        "seconds a step with labels alone": round(statistics.median(times["labels"]) / steps, 4),
        "seconds to ask about all training texts once": round(filling, 2),
        "largest difference of logits, cached to live": difference,
        "cost relative to labels alone": {
            name: {"median": round(statistics.median(own), 3), "quartiles": [round(q, 3) for q in statistics.quantiles(own)]}
            for name, own in ratios.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as out, ExitStack() as ready:
        found = measure(given.rounds, given.steps, out, ready)
    print(json.dumps({"rounds": given.rounds, **found, **environment(torch.device("cpu"))}, indent=1))


if __name__ == "__main__":
    main()
