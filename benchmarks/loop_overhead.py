"""What kdzoo's engine costs: its ordinary path against a bare hand-written PyTorch loop for KD.

Same models, data, order and losses (asserted equal first). Each round times one contender after the other in a random order;
the figure is the median over rounds of the paired ratio of process CPU time, bare / kdzoo, with a second bare loop as the A/A
control. Run: `OMP_NUM_THREADS=1 python benchmarks/loop_overhead.py [--rounds 20]`.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from kdzoo.engine.allocator import keep_freed_memory
from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.metrics_log import MetricsLog
from kdzoo.engine.position import Position
from kdzoo.engine.results import environment
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.recipe.load import load

TEMPERATURE, HARD, SOFT, BATCH = 4.0, 0.1, 0.9, 64
PAIRS = {"resnet20 -> resnet8": ("resnet20", "resnet8", 4), "linear -> linear": ("linear", "linear", 100)}


def recipe(teacher: str, student: str, steps: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (steps * BATCH, 3, 32, 32), dtype=torch.uint8, generator=draw)
    labels = torch.arange(steps * BATCH) % 100
    data = {"use": "tensors", "train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    return {
        "task": {"data": data, "validation": 0.0, "crop": 0, "flip": False},
        "student": student,
        "teacher": {"use": "frozen", "model": teacher},
        "methods": {
            "hard_label": {"weights": {"hard_label": HARD}},
            "kd": {"temperature": TEMPERATURE, "weights": {"kd": SOFT}},
        },
        "optimizers": {"student": {"use": "sgd", "lr": 0.05}},
        "train": {"epochs": 1, "batch_size": BATCH},
        "runtime": {"device": "cpu"},
    }


def bare(run: Run) -> list[float]:
    """One epoch by hand."""
    task: Any = run.task
    images, labels = task.parts["train"].images, task.parts["train"].labels
    mean, std = torch.tensor(task.set.mean).view(-1, 1, 1), torch.tensor(task.set.std).view(-1, 1, 1)
    student, teacher = run.student, run.model("teacher")
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    order, losses = run.streams.permutation(len(images), "order", 0), []
    student.train()
    for index in order.split(BATCH):
        inputs, target = (images[index].float() / 255 - mean) / std, labels[index]
        with torch.no_grad():
            goal = teacher(inputs)
        logits = student(inputs)
        soft = F.kl_div(
            F.log_softmax(logits / TEMPERATURE, 1), F.log_softmax(goal / TEMPERATURE, 1), reduction="batchmean", log_target=True
        )
        loss = HARD * F.cross_entropy(logits, target) + SOFT * TEMPERATURE**2 * soft
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


class Kept(MetricsLog):
    """The ordinary recorder, but its records stay in memory."""

    def __init__(self) -> None:
        super().__init__(None, 50)
        self.records: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        self.records.append(record)


def engine(run: Run) -> list[float]:
    """One epoch by kdzoo's loop."""
    recorder = Kept()
    train(run, StagePlan.of(run, 1, {}), Feed(run), recorder, Position())
    return [sum(record["loss"] for record in recorder.records) / len(recorder.records)]


def cpu_time(contender: Callable[[Run], Any], run: Run, start: dict[str, Any]) -> float:
    run.student.load_state_dict(start)
    before = time.process_time()
    contender(run)
    return time.process_time() - before


def measure(pair: str, rounds: int) -> dict[str, Any]:
    teacher, student, steps = PAIRS[pair]
    run = assemble(load(recipe(teacher, student, steps)).settings)
    start = copy.deepcopy(run.student.state_dict())
    by_hand = bare(run)
    run.student.load_state_dict(start)
    records = engine(run)
    expected = statistics.fmean(by_hand[-(len(by_hand) % 50 or 50) :]) if len(by_hand) < 50 else statistics.fmean(by_hand)
    if abs(records[0] - expected) > 1e-5 * abs(expected):
        raise SystemExit(
            f"{pair}: the loops compute different losses ({records[0]} and {expected}); the timing would mean nothing"
        )
    contenders: dict[str, Callable[[Run], Any]] = {"bare": bare, "bare again": bare, "kdzoo": engine}
    ratios: dict[str, list[float]] = {"bare again": [], "kdzoo": []}
    for _ in range(rounds):
        times = {name: cpu_time(contenders[name], run, start) for name in random.sample(list(contenders), len(contenders))}
        for name, kept in ratios.items():
            kept.append(times["bare"] / times[name])
    return {
        name: {"median": round(statistics.median(values), 4), "quartiles": [round(q, 4) for q in statistics.quantiles(values)]}
        for name, values in ratios.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    keep_freed_memory()  # as every run does; the loops by hand have it, too
    found = {pair: measure(pair, rounds) for pair in PAIRS}
    print(
        json.dumps({"rounds": rounds, "speed relative to the bare loop": found, **environment(torch.device("cpu"))}, indent=1)
    )


if __name__ == "__main__":
    main()
