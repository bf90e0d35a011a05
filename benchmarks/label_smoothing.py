"""What the bench `smoothing/temperature` left behind, beyond accuracy: losses of training, spread within classes, rescaling.

For each row, over its seeds: the loss in the last epoch of training (KL, times T^2) and the error on validation. For each
teacher, on test: confidence, entropy, and the spread within classes, the mean over classes of E ||p - mean||^2 (1 - S of Shen
et al. 2021, on softmax vectors). For each row at T = 1: the correlation over test samples between the teacher's probability of
the label, q, and the factor by which distillation rescales the labels' gradient, w = (q - p) / (1 - p).

Run: `kdzoo bench smoothing/temperature`, then `python benchmarks/label_smoothing.py runs/temperature`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np

NEAR_ONE = 1e-3  # samples with 1 - p below are left out of the correlation: w is a ratio of two small numbers there


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def spread(p: np.ndarray, label: np.ndarray) -> float:
    """Mean over classes of the mean squared distance of softmax vectors to their class's mean."""
    found = [np.square(p[label == c] - p[label == c].mean(0)).sum(1).mean() for c in np.unique(label)]
    return float(np.mean(found))


def teacher_line(arrays: dict[str, np.ndarray]) -> str:
    p, label = softmax(arrays["teacher:teacher.logits"].astype(np.float64)), arrays["last.target"]
    entropy = -(p * np.log(p)).sum(1).mean()
    return f"confidence {p.max(1).mean():.3f}, entropy {entropy:.3f}, spread within classes {spread(p, label):.4f}"


def rescaling(arrays: dict[str, np.ndarray]) -> tuple[float, int]:
    """The correlation of w and q, and the samples that it leaves out."""
    label = arrays["last.target"]
    at = np.arange(len(label))
    p = softmax(arrays["last.logits"].astype(np.float64))[at, label]
    q = softmax(arrays["teacher:teacher.logits"].astype(np.float64))[at, label]
    kept = 1 - p > NEAR_ONE
    w = (q - p)[kept] / (1 - p)[kept]
    ranks = [np.argsort(np.argsort(values)) for values in (w, q[kept])]  # Spearman's: w has a long tail
    return float(np.corrcoef(*ranks)[0, 1]), int((~kept).sum())


def summary(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the bench")
    folder = parser.parse_args().folder
    teachers: dict[str, str] = {}
    print(
        "| row | seeds | training loss | validation error | rank correlation of w and q |\n| --- | ---: | ---: | ---: | ---: |"
    )
    for row in sorted((folder / "cells").iterdir()):
        seeds = sorted(cell for cell in row.iterdir() if (cell / "result.json").is_file())
        losses, errors, related = [], [], []
        for cell in seeds:
            records = [json.loads(line) for line in (cell / "metrics.jsonl").read_text().splitlines()]
            losses.append(next(r["loss"] for r in reversed(records) if r["event"] == "step"))
            errors.append(100 - json.loads((cell / "result.json").read_text())["validation"]["last"]["top1"])
            with np.load(cell / "predictions.npz") as file:
                arrays = dict(file)
            if "teacher:teacher.logits" in arrays:
                related.append(rescaling(arrays)[0])
                teachers[row.name.partition("_")[0]] = teacher_line(arrays)
        shown = summary(related) if row.name.endswith("at_1") else "–"
        print(f"| {row.name} | {len(seeds)} | {summary(losses)} | {summary(errors)} | {shown} |")
    for name, line in teachers.items():
        print(f"teacher {name}: {line}")


if __name__ == "__main__":
    main()
