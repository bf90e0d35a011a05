"""How long the report of many runs takes, and how large it is.

A made-up bench of ROWS rows and SEEDS seeds, each with a log, a resolved recipe, and predictions of 10,000 samples,
is written to a temporary folder and reported on; and, where there is a Chromium, its leaderboard is sorted by clicks.

    python benchmarks/report.py --rows 100 --seeds 10
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from kdzoo.benchmark import write_report

SAMPLES, CLASSES, EPOCHS = 10_000, 10, 200
SORT = """<script>addEventListener("load", () => {
  const head = document.querySelector("table.sorts").tHead.rows[0].cells[2].querySelector("button"), times = [];
  for (let k = 0; k < 5; k++) {
    const started = performance.now();
    head.click();
    document.body.offsetHeight;
    times.push(performance.now() - started);
  }
  document.title = "sorted in " + times.map((t) => t.toFixed(1)).join(", ");
});</script>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "bench"
        write(folder, args.rows, args.seeds)
        wall, cpu = time.perf_counter(), time.process_time()
        write_report(folder)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        page = folder / "report.html"
        print(f"{args.rows * args.seeds} runs: {wall:.1f} s wall, {cpu:.1f} s CPU, page {page.stat().st_size / 1e6:.2f} MB")
        if browser := shutil.which("chromium"):
            print(sorted_in(browser, page, Path(place)))


def sorted_in(browser: str, page: Path, place: Path) -> str:
    """Milliseconds of five sorts of the leaderboard, layout included."""
    page.write_text(page.read_text().replace("</body>", SORT + "</body>"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    shown = subprocess.run([*command, f"--user-data-dir={place / 'profile'}", page.as_uri()], capture_output=True, text=True)
    found = re.search(r"<title>(sorted in [^<]*)", shown.stdout)
    return f"{found[1]} ms" if found else "the browser did not answer"


def write(folder: Path, rows: int, seeds: int) -> None:
    """The folder of a finished bench."""
    names = ["student alone", "kd", *(f"method {number}" for number in range(rows - 2))]
    cells = [
        {"row": row, "seed": seed, "identity": f"{row} {seed}", "folder": f"cells/{row}/seed{seed}"}
        for row in names
        for seed in range(seeds)
    ]
    budget = {"train.epochs": EPOCHS}
    plan = {
        "format": 1,
        "name": "made",
        "description": "Numbers made up.",
        "identity": "0" * 16,
        "command": "",
        "recipe": "",
        "baseline": "kd",
        "alone": "student alone",
        "also": [],
        "notes": [],
        "rows": [{"row": row, "label": row, "point": {}, "unpackaged": [], "budget": budget} for row in names],
        "cells": cells,
        "teachers": [],
    }
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    random = np.random.default_rng(0)
    target = random.integers(CLASSES, size=SAMPLES)
    teacher = (random.normal(size=(SAMPLES, CLASSES)) + 4 * np.eye(CLASSES)[target]).astype(np.float32)
    for number, cell in enumerate(cells):
        own = folder / cell["folder"]
        own.mkdir(parents=True)
        logits = (random.normal(size=(SAMPLES, CLASSES)) + 3 * np.eye(CLASSES)[target]).astype(np.float32)
        right = logits.argmax(1) == target
        arrays = {"last.logits": logits, "last.target": target, "last.score": 100.0 * right, "teacher:teacher.logits": teacher}
        np.savez(own / "predictions.npz", **arrays)
        value = 100.0 * right.mean()
        (own / "recipe.yaml").write_text("\n".join(f"key{line}: value {number if line == 7 else line}" for line in range(90)))
        log = [{"event": "epoch", "epoch": e, "validation": {"top1": value - 30 / e}} for e in range(1, EPOCHS + 1)]
        (own / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
        (own / "result.json").write_text(json.dumps(result(cell["identity"], value, taught=cell["row"] != "student alone")))


def result(identity: str, value: float, *, taught: bool) -> dict[str, object]:
    """What a run says of itself."""
    test = {"last": {"top1": value, "top5": 99.0, "nll": 0.3, "ece": 0.02}, "best": {"top1": value}}
    teacher = {"test": {"top1": 95.0}, "parameters": 9000, "kind": "frozen", "fidelity": {"agreement": 90.0, "kl": 0.2}}
    return {
        "format": 1,
        "identity": identity,
        "metric": "top1",
        "higher_is_better": True,
        "bounds": [0, 100],
        "chance": 10.0,
        "seconds": 100.0,
        "test": test,
        "validation": {"last": {"top1": value}, "best": value, "best_epoch": EPOCHS},
        "teachers": {"teacher": teacher} if taught else {},
        "parameters": {"student": 900, "deployed": 900, "methods": 0},
        "data": {"sizes": {"train": 50_000}},
        "reference": None,
        "cost": {"training_flops": 10**12, "inference_flops": 10**6, "cpu_seconds": 90.0, "peak_bytes": 10**9},
        "environment": {"device": "CPU", "threads": 1, "python": "3", "versions": {"kdzoo": "0"}, "date": "2026-01-01"},
    }


if __name__ == "__main__":
    main()
