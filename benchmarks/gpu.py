"""Images/s of KD ResNet32x4 -> ResNet8x4 on a CUDA device: kdzoo, a bare loop, and student and teacher alone.

Synthetic 3x32x32 data, batch 64 and 512, fp32 (TF32), bf16, each with and without torch.compile. Each figure is the median
of `--rounds` interleaved rounds. Run on a GPU: `python benchmarks/gpu.py`. kdzoo's goal is 0.95 of the bare loop.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.metrics_log import MetricsLog
from kdzoo.engine.position import Position
from kdzoo.engine.results import environment
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.recipe.load import load

STEPS, TEMPERATURE = 40, 4.0


def recipe(batch: int, precision: str, compiled: bool) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (STEPS * batch, 3, 32, 32), dtype=torch.uint8, generator=draw)
    labels = torch.arange(STEPS * batch) % 100
    data = {
        "use": "tensors",
        "train_images": images,
        "train_labels": labels,
        "test_images": images[:256],
        "test_labels": labels[:256],
    }
    return {
        "task": {"data": data, "validation": 0.0, "crop": 0, "flip": False},
        "student": "resnet8x4",
        "teacher": {"use": "frozen", "model": "resnet32x4"},
        "methods": {"hard_label": {"weights": {"hard_label": 0.1}}, "kd": {"temperature": TEMPERATURE, "weights": {"kd": 0.9}}},
        "train": {"epochs": 1, "batch_size": batch, "precision": precision, "compile": compiled},
        "runtime": {"device": "cuda"},
    }


def by_hand(run: Run, *, with_teacher: bool = True, with_student: bool = True) -> Callable[[], None]:
    """A bare loop over one epoch, or its halves."""
    task: Any = run.task
    images, labels = task.parts["train"].images, task.parts["train"].labels
    mean, std = (value.view(-1, 1, 1) for value in task.statistics)
    student: Any = run.compiled.get("student", run.student)
    teacher: Any = run.compiled.get("teacher", run.model("teacher"))
    optimizer = torch.optim.SGD(run.student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    autocast = torch.autocast("cuda", torch.bfloat16) if run.precision.name == "bf16" else nullcontext()

    def step(index: Tensor) -> None:
        inputs, target = (images[index].float() / 255 - mean) / std, labels[index]
        with autocast:
            if with_teacher:
                with torch.no_grad():
                    goal = teacher(inputs).float()
            if not with_student:
                return
            logits = student(inputs).float()
        loss = 0.1 * F.cross_entropy(logits, target)
        if with_teacher:
            soft = F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), F.softmax(goal / TEMPERATURE, 1), reduction="batchmean")
            loss = loss + 0.9 * TEMPERATURE**2 * soft
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def epoch() -> None:
        run.student.train()
        for index in run.streams.permutation(len(images), "order", 0).to("cuda").split(run.settings["train"]["batch_size"]):
            step(index)

    return epoch


def by_engine(run: Run) -> Callable[[], None]:
    def epoch() -> None:
        recorder = MetricsLog(None, 50)
        train(run, StagePlan.of(run, 1, {}), Feed(run), recorder, Position())

    return epoch


def timed(epoch: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    epoch()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(batch: int, precision: str, compiled: bool, rounds: int) -> dict[str, float]:
    run = assemble(load(recipe(batch, precision, compiled)).settings)
    contenders = {
        "kdzoo": by_engine(run),
        "bare": by_hand(run),
        "student alone": by_hand(run, with_teacher=False),
        "teacher alone": by_hand(run, with_student=False),
    }
    for epoch in contenders.values():
        epoch()  # warm up, compile
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, epoch in contenders.items():
            times[name].append(timed(epoch))
    found = {f"{name} images/s": round(STEPS * batch / statistics.median(values)) for name, values in times.items()}
    return {
        **found,
        "kdzoo / bare": round(statistics.median(b / k for b, k in zip(times["bare"], times["kdzoo"], strict=True)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    for batch in (64, 512):
        for precision in ("fp32", "bf16"):
            for compiled in (False,) if options.no_compile else (False, True):
                found: dict[str, Any] = measure(batch, precision, compiled, options.rounds)
                print(json.dumps({"batch": batch, "precision": precision, "compile": compiled, **found}), flush=True)
    print(json.dumps(environment(torch.device("cuda", 0))))


if __name__ == "__main__":
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark measures a CUDA device, and torch sees none here")
    main()
