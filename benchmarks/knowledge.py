"""Ten rules on a batch of images: constraint loss and constrained inference, against DomiKnowS on the same logits.

A hierarchy of ten fine and three coarse classes (Fashion-MNIST's). DomiKnowS runs in an environment of its own
(`domiknows_side.py`), asked in turn with ours, so both see the same load. Wall time of a forward; a ratio is of medians over
rounds. Grounding by DomiKnowS's sensors is not counted. Its integer program uses Gurobi, whose free licence ends at 2,000
variables: 64 images, not 512. Values of the same name should agree: the loss is the sum over rules of the mean over images, the
inference's the sum of the fine classes found.

Run: `OMP_NUM_THREADS=1 python benchmarks/knowledge.py [--domiknows PYTHON] [--rounds 3]`, PYTHON the interpreter of an
environment with DomiKnowS (its sources on PYTHONPATH will do).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kdzoo_knowledge.declaration.knowledge import Knowledge, is_a
from kdzoo_knowledge.declaration.vocabulary import SAMPLE, Head
from kdzoo_knowledge.exact import jointly, total_log_probability
from kdzoo_knowledge.inference.most_probable import How, MostProbable
from kdzoo_knowledge.theory import Theory
from torch import Tensor

from kdzoo.engine.results import environment

PARENT = (0, 0, 0, 0, 0, 1, 0, 1, 2, 1)
SIZES = (64, 512)
SIDE = Path(__file__).with_name("domiknows_side.py")
REPEATS = {"t-norm loss": 30, "semantic loss": 30, "closed form": 30, "milp": 1}


def theory() -> Theory:
    fine, coarse = Head("fine", tuple(f"f{i}" for i in range(10))), Head("coarse", ("c0", "c1", "c2"))
    rules = [is_a(fine[number], coarse[above]) for number, above in enumerate(PARENT)]
    return Knowledge.of(fine, coarse, rules=rules).theories[SAMPLE]


def ours(logits: dict[str, Tensor]) -> dict[str, Callable[[], float]]:
    """What is timed, by name; each returns a value to compare."""
    known = theory()
    parts = jointly(known, "benchmark")
    solvers: dict[How, MostProbable] = {how: MostProbable(known, how=how) for how in ("exact", "milp")}

    def literals() -> Tensor:
        return known.log_literals({("", name): own for name, own in logits.items()})

    def inferred(how: How) -> float:
        found = solvers[how](literals().exp())  # DomiKnowS sums probabilities, not their logarithms
        return float(found.literals[:, :10].argmax(1).sum())

    def tnorm() -> float:
        return float((1 - known.degrees(known.truths(literals()), "product", "residuum")).mean(0).sum())

    return {
        "t-norm loss": tnorm,
        "semantic loss": lambda: float(-total_log_probability(parts, literals()).mean()),
        "closed form": lambda: inferred("exact"),
        "milp": lambda: inferred("milp"),
    }


def timed(work: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Wall seconds of one, and the value."""
    started = time.perf_counter()
    for _ in range(repeats):
        value = work()
    return (time.perf_counter() - started) / repeats, value


class Domiknows:
    """The other side, asked line by line."""

    def __init__(self, python: str, logits: dict[str, np.ndarray], folder: Path) -> None:
        np.savez(folder / "logits.npz", parent=np.array(PARENT), **logits)
        shutil.copy(SIDE, folder)  # it writes logs beside the script
        command = [python, str(folder / SIDE.name), str(folder / "logits.npz")]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self._answer()

    def __call__(self, work: str, images: int) -> tuple[float, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{work} {images}\n")
        self.process.stdin.flush()
        found = self._answer()
        return found["seconds"], found["value"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = next((each for each in self.process.stdout if each.startswith("{")), None)  # it also prints where it logs
        if line is None:
            raise SystemExit("DomiKnowS stopped; run benchmarks/domiknows_side.py by hand to see why.")
        found: dict[str, Any] = json.loads(line)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domiknows", help="the interpreter of an environment that has it")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    draw = np.random.default_rng(0)
    logits = {
        name: (2 * draw.normal(size=(max(SIZES), width))).astype(np.float32) for name, width in (("fine", 10), ("coarse", 3))
    }
    seconds: dict[tuple[str, int], list[float]] = {}
    values: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        other = Domiknows(given.domiknows, logits, Path(folder)) if given.domiknows else None
        jobs = [("loss", size) for size in SIZES] + [("inference", min(SIZES))]
        for _ in range(given.rounds):
            for size in SIZES:
                for name, work in ours({key: torch.from_numpy(own[:size]) for key, own in logits.items()}).items():
                    taken, values[name, size] = timed(work, REPEATS[name])
                    seconds.setdefault((name, size), []).append(taken)
            for work, size in jobs if other else []:
                taken, values[f"DomiKnowS {work}", size] = other(work, size)
                seconds.setdefault((f"DomiKnowS {work}", size), []).append(taken)
    medians = {key: statistics.median(own) for key, own in seconds.items()}
    for (name, size), median in sorted(medians.items(), key=lambda item: (item[0][1], item[0][0])):
        base = medians.get((f"DomiKnowS {'loss' if 'loss' in name else 'inference'}", size))
        ratio = "" if base is None or "DomiKnowS" in name else f"   {base / median:,.0f}x"
        print(f"{size:4d} images  {name:22s} {1000 * median:10.3f} ms   value {values[name, size]:.4f}{ratio}")
    print(json.dumps(environment(torch.device("cpu")), default=str))


if __name__ == "__main__":
    main()
