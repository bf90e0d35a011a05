"""What MetaDistil costs: a step of each backend beside a step of plain KD, on a ResNet pair and two transformer pairs.

Arithmetic by torch's counter, peak memory as the storage of all tensors alive that the step allocated (parameters, optimizer
state and data are not in it), time as process CPU time. Each round times one contender after the other in a random order; the
figure is the median over rounds of the paired ratio to KD, with a second KD as the A/A control. Epochs are whole epochs of the
training loop, with quiz, logging and health. Run: `OMP_NUM_THREADS=1 python benchmarks/metadistil.py [--rounds 7]`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.results import environment
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.models.tap_names import name_taps
from kdzoo.protocol.outputs import Batch
from kdzoo.recipe.load import load

METHODS = {"hard_label": {"weights": {"hard_label": 0.1}}, "kd": {"temperature": 4.0, "weights": {"kd": 0.9}}}
BACKENDS: dict[str, dict[str, Any]] = {
    "jvp": {},
    "jvp, recompute": {"recompute": True},
    "jvp, no look-ahead": {"look_ahead": False},
    "double_backward": {"backend": "double_backward"},
    "fd_logit": {"backend": "fd_logit", "recompute": True},
}
SCHEDULE = {"epochs": 240, "still": 149}
"""Of the released CIFAR-100 code: the teacher's rate is 0 for 149 of 240 epochs."""


class Sequences(nn.Module):
    """A pre-norm transformer with attention written out, so that every product is counted: (B, 1, 64, 32) -> logits."""

    def __init__(self, *, classes: int, width: int = 128, depth: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embed, self.place = nn.Linear(32, width), nn.Parameter(0.02 * torch.randn(64, width))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.normed = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.fc = nn.Linear(width, classes)
        name_taps(self, stem=None, stages=[], pooled="fc", classifier="fc")

    def attended(self, x: Tensor, layer: int) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv[layer](x).chunk(3, -1))
        mixed = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v
        return self.out[layer](mixed.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1)) + self.place
        for layer in range(len(self.qkv)):
            x = x + self.attended(self.normed[2 * layer](x), layer)
            x = x + self.down[layer](torch.nn.functional.gelu(self.up[layer](self.normed[2 * layer + 1](x))))
        return self.fc(self.normed[-1](x).mean(1))


registry.register("models", "benchmark_sequences", Sequences)


def sequences(width: int, depth: int) -> dict[str, Any]:
    return {"use": "benchmark_sequences", "width": width, "depth": depth}


PAIRS: dict[str, dict[str, Any]] = {
    "ResNet-20 <- 56": {"student": "resnet20", "teacher": "resnet56", "shape": (3, 32, 32), "batch": 16},
    "4 <- 8 layers": {"student": sequences(128, 4), "teacher": sequences(256, 8), "shape": (1, 64, 32), "batch": 16},
    "6 <- 12 layers": {"student": sequences(192, 6), "teacher": sequences(192, 12), "shape": (1, 64, 32), "batch": 8},
}


def recipe(pair: dict[str, Any], steps: int, meta: dict[str, Any] | None, *, rate: float = 3e-4) -> dict[str, Any]:
    """MetaDistil on random data with `steps` training batches and a quiz split of one more; plain KD where `meta` is None."""
    draw = torch.Generator().manual_seed(0)
    count = (steps + 1) * pair["batch"]
    images = torch.rand((count, *pair["shape"]), generator=draw)
    labels = torch.arange(count) % 10
    data = {"use": "tensors", "train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    share = 1 / (steps + 1)
    quiz = {"quiz_holdout": {"quiz": share}} if meta is None else {"metadistil": {"quiz": share, "alarm": 0.0, **meta}}
    return {
        "task": {"data": data, "validation": 0.0, "crop": 0, "flip": False},
        "student": pair["student"],
        "teacher": {"use": "frozen" if meta is None else "trainable", "model": pair["teacher"]},
        "methods": {**METHODS, **quiz},
        "optimizers": {"student": {"use": "sgd", "lr": 0.05}, "teacher": {"use": "sgd", "lr": rate}},
        "train": {"epochs": 1, "batch_size": pair["batch"]},
        "runtime": {"device": "cpu"},
    }


class Memory(TorchDispatchMode):
    """The most bytes that tensors made inside this block held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {self._key(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and self._key(tensor) not in given | self.known:
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.now)
        return result

    @staticmethod
    def _key(tensor: Tensor) -> int:
        return tensor.untyped_storage()._cdata

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.known.add(key)
        self.now += size
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


Step = Callable[[], None]


@contextmanager
def entered(settings: dict[str, Any]) -> Iterator[tuple[Run, Batch]]:
    """A run in its main stage, and a batch."""
    run = assemble(load(settings).settings)
    with StagePlan.of(run, 1, {}).entered(run, 0):
        batch = next(Feed(run).windows(0, start=0, size=1))[0]
        settle(run, batch)
        yield run, batch


@torch.no_grad()
def settle(run: Run, batch: Batch) -> None:
    """Give the random teacher's BatchNorm its statistics: without, its logits overflow every softmax."""
    teacher = run.model("teacher").train()
    for _ in range(20 if list(teacher.buffers()) else 0):
        teacher(batch.inputs)
    teacher.eval()


def kd_step(run: Run, batch: Batch) -> None:
    """The teacher's answers, and the student's step."""
    train_step(run, batch)


def meta_step(run: Run, batch: Batch) -> None:
    """The meta-gradient and the teacher's step, without the student's."""
    update_teacher(run, [batch])


def warmed(step: Callable[[Run, Batch], None], run: Run, batch: Batch) -> Step:
    """The step, after one that pays for lazy initialization."""

    def go() -> None:
        step(run, batch)

    go()
    return go


def size_of(step: Step) -> dict[str, float]:
    """Arithmetic and peak memory of a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    with Memory() as memory:
        step()
    return {"gflop": counter.get_total_flops() / 1e9, "megabytes": memory.peak / 1e6}


def cpu_time(step: Step) -> float:
    before = time.process_time()
    step()
    return time.process_time() - before


def contenders(pair: dict[str, Any], stack: Any, backends: dict[str, dict[str, Any]]) -> dict[str, Step]:
    """A plain KD step twice, and a meta step of each backend; every one with a run of its own."""
    found = {}
    for name in ("KD", "KD again"):
        run, batch = stack.enter_context(entered(recipe(pair, 2, {})))  # its teacher answers in the step, like MetaDistil's
        found[name] = warmed(kd_step, run, batch)
    for name, settings in backends.items():
        run, batch = stack.enter_context(entered(recipe(pair, 2, settings)))
        found[name] = warmed(meta_step, run, batch)
    return found


def measure(pair: dict[str, Any], rounds: int, backends: dict[str, dict[str, Any]] = BACKENDS) -> dict[str, Any]:
    """Arithmetic, memory and time of each contender, absolute for KD and as multiples of it."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        steps = contenders(pair, stack, backends)
        sizes = {name: size_of(step) for name, step in steps.items()}
        ratios: dict[str, list[float]] = {name: [] for name in steps}
        seconds = []
        for _ in range(rounds):
            times = {name: cpu_time(steps[name]) for name in random.sample(list(steps), len(steps))}
            seconds.append(times["KD"])
            for name in steps:
                ratios[name].append(times[name] / times["KD"])
    base = sizes["KD"]
    found: dict[str, Any] = {"KD": {**base, "seconds": statistics.median(seconds) if seconds else None}}
    for name in [name for name in steps if name != "KD"]:
        found[name] = {key: sizes[name][key] / base[key] for key in base}
        found[name] |= {"cpu": statistics.median(ratios[name]), "quartiles": quartiles(ratios[name])} if rounds else {}
    return found


def quartiles(values: list[float]) -> list[float]:
    return [round(q, 3) for q in statistics.quantiles(values)] if len(values) > 1 else values


EPOCHS: dict[str, tuple[dict[str, Any] | None, float]] = {
    "KD on the same samples": (None, 0.0),
    "teacher still, skipped": ({}, 0.0),
    "teacher still, computed": ({"warm_momentum": True}, 0.0),
    "teacher moving": ({}, 3e-4),
    "teacher moving, every 4": ({"every": 4}, 3e-4),
    "teacher moving, share_forward": ({"share_forward": True}, 3e-4),
    "teacher moving, no look-ahead": ({"look_ahead": False}, 3e-4),
    "teacher moving, double_backward": ({"backend": "double_backward"}, 3e-4),
}


def epoch_costs(pair: dict[str, Any], rounds: int, steps: int = 8) -> dict[str, Any]:
    """CPU time of whole epochs as multiples of KD's, and what the released schedule makes of them."""
    runs = {name: assemble(load(recipe(pair, steps, meta, rate=rate)).settings) for name, (meta, rate) in EPOCHS.items()}

    def go(run: Run) -> float:
        return cpu_time(lambda: train(run, StagePlan.of(run, 1, {}), Feed(run), Observer(), Position()))

    ratios: dict[str, list[float]] = {name: [] for name in runs}
    for name in runs:
        go(runs[name])
    for _ in range(rounds):
        times = {name: go(runs[name]) for name in random.sample(list(runs), len(runs))}
        for name in runs:
            ratios[name].append(times[name] / times["KD on the same samples"])
    found = {name: statistics.median(values) for name, values in ratios.items()}
    share = SCHEDULE["still"] / SCHEDULE["epochs"]
    return {
        "epoch": found,
        "quartiles": {name: quartiles(values) for name, values in ratios.items()},
        "240 epochs, nothing skipped": found["teacher moving"],
        "240 epochs, still ones skipped": share * found["teacher still, skipped"] + (1 - share) * found["teacher moving"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epoch-rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    result = {name: measure(pair, given.rounds) for name, pair in PAIRS.items()}
    epochs = epoch_costs(PAIRS["ResNet-20 <- 56"], given.epoch_rounds)
    about = {"rounds": given.rounds, "epoch_rounds": given.epoch_rounds, **environment(torch.device("cpu"))}
    print(json.dumps({"step": result, "epochs of ResNet-20 <- 56": epochs, **about}, indent=1))


if __name__ == "__main__":
    main()
