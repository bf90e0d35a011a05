"""What a teacher costs on texts: its share of a training step with cached answers, and live.

The pair is that of recipes/trec: a BERT of 2 layers and width 144 beside MiniLM-L6, 32 TREC questions a step; `kd` wants
logits, `minilm` queries, keys and values of the last layer. Each round times the same steps of one contender after the other
in a random order, in process CPU time; asking the teacher is timed apart. The figures are medians over rounds, of the paired
ratio to a step with labels alone (with a second run of these as the control), and of the share of the live teacher's time
that is gone. Also said: what filling the store costs, and the largest difference of cached and live logits. Needs `kdzoo data
fetch text`; the teacher is not fine-tuned, which costs the same.

Run: `OMP_NUM_THREADS=1 python benchmarks/cached_teacher.py [--rounds 5] [--steps 3]` (two minutes).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
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
LABELS = "labels"
CONTENDERS: dict[str, tuple[str, str | None]] = {
    LABELS: ("trec/ce", None),
    "labels again": ("trec/ce", None),
    **{f"{method} {kind}": (f"trec/{method}", kind) for method in ("kd", "minilm") for kind in ("cached", "frozen")},
}


def cpu_time(run: Run, steps: int) -> tuple[float, float]:
    """Of the first steps of an epoch: all in all, and of asking the teacher."""
    feed = Feed(run)
    batches = run.task.batches("train", list(islice(feed.order(0), steps)), epoch=0, train=True)
    begun, asking = time.process_time(), 0.0
    for batch in batches:
        before = time.process_time()
        for name in run.teachers:
            run.answer(name, batch)  # the step finds it in the batch
        asking += time.process_time() - before
        train_step(run, batch)
    return time.process_time() - begun, asking


def largest_difference(cached: Run, live: Run) -> float:
    (batch,) = cached.task.batches("train", [torch.arange(64)], epoch=0, train=True)
    with torch.no_grad():
        answers = [run.answer("teacher", batch).rows.logits for run in (cached, live)]
    return float((answers[0] - answers[1]).abs().max())


def measure(rounds: int, steps: int, out: str, ready: ExitStack) -> dict[str, Any]:
    def assembled(recipe: str, kind: str | None) -> Run:
        teacher = [f"teacher={{use: {kind}, recipe: null, model: {MODEL}}}"] if kind else []
        return ready.enter_context(tiny_run(load(recipe, [*teacher, f"runtime.out={out}", "runtime.device=cpu"])))

    runs = {name: assembled(*contender) for name, contender in CONTENDERS.items()}
    filling = {}
    for name in ("kd cached", "minilm cached"):
        before = time.process_time()
        teacher: Any = runs[name].teachers["teacher"]
        teacher.fill(runs[name])
        filling[name] = round(time.process_time() - before, 1)
    size = teacher.store(runs[name]).size()
    runs["kd frozen"].model("teacher").load_state_dict(runs["kd cached"].model("teacher").state_dict())
    difference = largest_difference(runs["kd cached"], runs["kd frozen"])
    for run in runs.values():
        cpu_time(run, 1)  # first steps allocate
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name in random.sample(list(runs), len(runs)):
            times[name].append(cpu_time(runs[name], steps))
    whole = {name: [each for each, _ in own] for name, own in times.items()}
    asking = {name: [each for _, each in own] for name, own in times.items()}
    return {
        "ms a step with labels alone": round(1000 * statistics.median(whole[LABELS]) / steps, 1),
        "seconds to ask about all training texts once": filling,
        "MB on disk": round(size / 1e6, 1),
        "largest difference of logits, cached to live": difference,
        "a step, relative to labels alone": {name: ratios(whole[name], whole[LABELS]) for name in runs if name != LABELS},
        "ms a step to ask the teacher": {
            name: round(1000 * statistics.median(own) / steps, 2) for name, own in asking.items() if runs[name].teachers
        },
        "share of the live teacher's time that is gone": {
            method: ratios([live - own for own, live in zip(*pair, strict=True)], pair[1])
            for method in ("kd", "minilm")
            for pair in [(asking[f"{method} cached"], asking[f"{method} frozen"])]
        },
    }


def ratios(above: Sequence[float], below: Sequence[float]) -> Mapping[str, Any]:
    each = [a / b for a, b in zip(above, below, strict=True)]
    return {"median": round(statistics.median(each), 4), "quartiles": [round(q, 4) for q in statistics.quantiles(each)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as out, ExitStack() as ready:
        found = measure(given.rounds, given.steps, out, ready)
    print(json.dumps({"rounds": given.rounds, **found, **environment(torch.device("cpu"))}, indent=1))


if __name__ == "__main__":
    main()
