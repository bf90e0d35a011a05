"""Calibration: whether a model that says 80 % is right in 80 % of the cases.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, arXiv 1706.04599. With the samples sorted
by their confidence, the largest probability, into B bins (lo, hi] of equal width:

    ECE = sum_b n_b / N |accuracy_b - confidence_b|       MCE = max_b |accuracy_b - confidence_b|

over bins that have samples; NLL = mean -log p_target; Brier = mean over samples of the sum over classes of (p - y)^2. The best
temperature is the T in [0.05, 20] with the smallest NLL of softmax(z / T), on the same samples: it says how far the model's
scale is off, and its NLL is no estimate for other samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.protocol.analysis import Analysis, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import REFERENCE, Bars, Figure, Line, Mark, Panel
from kdzoo.ranges import at_least
from kdzoo_smoothing.analyses.by_class import labeled

LOWEST, HIGHEST = 0.05, 20.0
TOLERANCE = 1e-10
EDGES = (-0.02, 1.02)


class Reliability(NamedTuple):
    """Of each bin (B,): accuracy, mean confidence (NaN where it is empty), and samples."""

    accuracy: Tensor
    confidence: Tensor
    samples: Tensor


def reliability(logits: Tensor, target: Tensor, *, bins: int = 15) -> Reliability:
    """The bins of logits (N, K) with labels (N,)."""
    confidence, answer = logits.softmax(1).max(1)
    place = (confidence * bins).ceil().long().clamp_(1, bins) - 1
    count = torch.bincount(place, minlength=bins)
    zeros = confidence.new_zeros(bins)
    right = zeros.index_add(0, place, (answer == target).to(confidence)) / count
    return Reliability(right, zeros.index_add(0, place, confidence) / count, count)


def calibration_errors(found: Reliability) -> tuple[Tensor, Tensor]:
    """ECE and MCE."""
    gaps = (found.accuracy - found.confidence).abs()
    filled = found.samples > 0
    return (gaps[filled] * found.samples[filled]).sum() / found.samples.sum(), gaps[filled].max()


def brier(logits: Tensor, target: Tensor) -> Tensor:
    """The Brier score of logits (N, K), a sum over classes."""
    probabilities = logits.softmax(1)
    return (probabilities - F.one_hot(target, logits.shape[1])).square().sum(1).mean()


def best_temperature(logits: Tensor, target: Tensor, *, low: float = LOWEST, high: float = HIGHEST) -> float:
    """The temperature in [low, high] with the smallest NLL, by Brent's bounded search over its logarithm."""
    from scipy.optimize import minimize_scalar

    def nll(log: float) -> float:
        return F.cross_entropy(logits / math.exp(log), target).item()

    ends = (math.log(low), math.log(high))
    found = minimize_scalar(nll, bounds=ends, method="bounded", options={"xatol": TOLERANCE})
    return math.exp(found.x)


class Calibration(Analysis):
    """Whether a model that says 80 % is right in 80 % of the cases: ECE, MCE, NLL, Brier score, the best temperature.

    Args:
        bins: how many bins of equal width, 15 as in Guo et al.
        split: of which samples.
    """

    def __init__(self, *, bins: int = 15, split: str = "test") -> None:
        at_least(1, bins=bins)
        self.bins, self.split = bins, split

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        values, notes, bins = {}, [], {}
        for run in runs:
            own = labeled(run, self.split)
            notes += own.notes
            bins[run.name] = found = reliability(own.logits, own.target, bins=self.bins)
            ece, mce = calibration_errors(found)
            temperature = best_temperature(own.logits, own.target)
            scaled = own.logits / temperature
            if not 1.01 * LOWEST < temperature < 0.99 * HIGHEST:
                notes.append(
                    f"{run.name}: the NLL falls up to the end of the range {LOWEST:g} to {HIGHEST:g} of temperatures; "
                    "there is no best one in it."
                )
            values[run.name] = {
                "split": self.split,
                "bins": self.bins,
                "ece": ece.item(),
                "mce": mce.item(),
                "nll": F.cross_entropy(own.logits, own.target).item(),
                "brier": brier(own.logits, own.target).item(),
                "best_temperature": temperature,
                "nll_at_best": F.cross_entropy(scaled, own.target).item(),
                "ece_at_best": calibration_errors(reliability(scaled, own.target, bins=self.bins))[0].item(),
                "bin_accuracy": found.accuracy.tolist(),
                "bin_confidence": found.confidence.tolist(),
                "bin_count": found.samples.tolist(),
            }
        headers = ("run", "ECE", "MCE", "NLL (nat)", "Brier", "best T", "NLL at best T", "ECE at best T")
        keys = ("ece", "mce", "nll", "brier", "best_temperature", "nll_at_best", "ece_at_best")
        rows = [(name, *(own[key] for key in keys)) for name, own in values.items()]
        return Findings(values, [Table(f"Calibration on {self.split}", headers, rows)], [self._figure(bins)], notes)

    def _figure(self, bins: dict[str, Reliability]) -> Figure:
        perfect = Line("perfect calibration", [0, 1], [0, 1], dashed=True, markers=False, group=REFERENCE)
        lines: list[Mark] = [Line(name, own.confidence, own.accuracy) for name, own in bins.items()]
        counts = [Bars(name, 100 * own.samples / own.samples.sum()) for name, own in bins.items()]
        edges = [f"{(number + 1) / self.bins:.2f}" for number in range(self.bins)]
        panels = [
            Panel(
                "Reliability",
                "mean confidence of a bin",
                "accuracy of a bin",
                [*lines, perfect],
                x_range=EDGES,
                y_range=EDGES,
            ),
            Panel("Where the samples are", "upper end of the bin (confidence)", "samples (%)", counts, edges),
        ]
        caption = f"{self.bins} bins of equal width; empty ones are left out. Below the dashed line a model is too sure."
        return Figure("reliability", f"Calibration, {self.split}", panels, caption)
