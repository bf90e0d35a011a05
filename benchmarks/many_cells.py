"""A bench of 200 tiny cells, killed three times: what it adds to each cell, its memory, and whether every cell is done once.

What a bench adds is all CPU time of its processes that is not spent in training steps: start, plan, building, evaluation,
files, report, and what the kills cost. Its goal is 5 % of a five-second cell, 0.25 s.
Memory is the resident set after each cell.

Run: `OMP_NUM_THREADS=1 python benchmarks/many_cells.py [--cells 200] [--cohort 1]`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from kdzoo.engine.results import environment

ROWS, KILLS, GOAL = 9, 3, 0.25
TEMPERATURES = tuple(range(1, ROWS + 1))


def recipe(cells: int) -> dict[str, Any]:
    """Nine temperatures of KD and the student alone, each with a tenth of as many seeds."""
    task = {"use": "image_classification", "data": "digits", "validation": 60}
    teacher = {"name": "elder", "task": task, "student": "linear", "methods": {"hard_label": {}}, "train": {"epochs": 2}}
    rows = {f"kd at {t}": {"methods": {"hard_label": {}, "kd": {"temperature": float(t)}}} for t in TEMPERATURES}
    return {
        "name": "many",
        "task": {**task, "train_size": 300},
        "student": "linear",
        "teacher": {"use": "frozen", "recipe": teacher},
        "methods": {"hard_label": {}, "kd": {}},
        "train": {"epochs": 3, "batch_size": 30},
        "bench": {"seeds": list(range(cells // (ROWS + 1))), "methods": rows},
    }


def finished(folder: Path) -> dict[str, int]:
    """Every finished cell, and when its result was written."""
    return {str(file.parent): file.stat().st_mtime_ns for file in folder.glob("many/cells/*/*/result.json")}


def resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def life(folder: Path, cohort: int, until: int | None) -> tuple[list[int], int]:
    """Let a bench run, until it has finished so many cells and is killed; resident bytes after each, and the exit code."""
    words = [sys.executable, "-m", "kdzoo", "bench", "many.yaml", "--workers", "1", "--quiet", "--cohort", str(cohort)]
    before, memory = len(finished(folder)), list[int]()
    with (folder / "said.txt").open("a") as said:
        process = subprocess.Popen([*words, "--out", "."], cwd=folder, stdout=said, stderr=said)
        while process.poll() is None:
            done = len(finished(folder))
            if done > before:
                before = done
                memory.append(resident(process.pid))
            if until is not None and done >= until:
                process.kill()
            time.sleep(0.02)
        return memory, process.wait()


def epochs(cell: Path) -> list[int]:
    lines = [json.loads(line) for line in (cell / "metrics.jsonl").read_text().splitlines()]
    return [line["epoch"] for line in lines if line["event"] == "epoch"]


def measure(folder: Path, cells: int, cohort: int) -> dict[str, Any]:
    made = recipe(cells)
    (folder / "many.yaml").write_text(json.dumps(made))
    known: dict[str, int] = {}
    memory = []
    for number in range(KILLS + 1):
        kept, code = life(folder, cohort, None if number == KILLS else cells * (number + 1) // (KILLS + 1))
        found = finished(folder)
        if any(found.get(cell) != stamp for cell, stamp in known.items()):
            raise SystemExit("a finished cell was lost or done again")
        known = found
        memory.append(kept)
        if code != (0 if number == KILLS else -9):
            raise SystemExit(f"life {number} ended with {code}: {(folder / 'said.txt').read_text()[-2000:]}")
    if len(known) != cells or any(epochs(Path(cell)) != [1, 2, 3] for cell in known):
        raise SystemExit(f"{len(known)} of {cells} cells are there, or one was trained twice")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    steps = sum(json.loads((Path(cell) / "result.json").read_text())["cost"]["cpu_seconds"] for cell in known)
    added = (used.ru_utime + used.ru_stime - steps) / cells
    longest = max(memory, key=len)
    return {
        "cells": cells,
        "most in a cohort": cohort,
        "killed": KILLS,
        "CPU seconds of all processes": round(used.ru_utime + used.ru_stime, 1),
        "of them in training steps": round(steps, 1),
        "added to a cell, seconds": round(added, 3),
        "share of a five-second cell": round(added / 5, 4),
        "goal is met": added <= GOAL,
        "resident MB after cells of the longest life": [round(b / 2**20) for b in longest[:: max(len(longest) // 8, 1)]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200, help="a multiple of ten")
    parser.add_argument("--cohort", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.cells, given.cohort)
    print(json.dumps({**found, **environment(torch.device("cpu"))}, indent=1))


if __name__ == "__main__":
    main()
