"""Confidence: how much probability a model gives to its answer and to the true class, and how it shares out the rest.

The class-mean bars are figure 4 of Shen, Liu, Xu, Chen, Cheng, Savvides, "Is Label Smoothing Truly Incompatible with Knowledge
Distillation: An Empirical Study", ICLR 2021, arXiv 2104.00676: label smoothing lowers the peak and keeps what is beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kdzoo.protocol.analysis import Analysis, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import Bars, Figure, Histogram, Line, Mark, Panel
from kdzoo_smoothing.analyses.by_class import Labeled, check_classes, class_means, labeled, name_of, names_of

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20
MOST_BARS = 20
LOWEST = 1e-6


def entropy(logits: Tensor) -> Tensor:
    """Entropies (N,) of the softmax of logits (N, K), in nats."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def summary(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Means of the largest probability, of the true class's, and of the entropy; the accuracy; quantiles of the largest."""
    probabilities = logits.softmax(1)
    largest, answer = probabilities.max(1)
    found = {
        "mean_confidence": largest.mean().item(),
        "mean_target_probability": probabilities.gather(1, target[:, None]).mean().item(),
        "mean_entropy": entropy(logits).mean().item(),
        "accuracy": (answer == target).double().mean().item(),
    }
    return found | {f"confidence_q{100 * q:g}": largest.quantile(q).item() for q in QUANTILES}


class Confidence(Analysis):
    """How sure a model is: of its answer, of the true class, and how it shares out the rest.

    Args:
        classes: those whose mean probabilities are drawn.
        split: of which samples.
    """

    def __init__(self, *, classes: Sequence[int] = (0, 1), split: str = "test") -> None:
        self.classes, self.split = tuple(classes), split

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        samples = {run.name: labeled(run, self.split) for run in runs}
        for run in runs:
            check_classes(run, self.classes, samples[run.name].classes, "analyses.confidence.classes")
        means = {name: class_means(own.probabilities, own.target, own.classes) for name, own in samples.items()}
        values = {name: {"split": self.split, **summary(own.logits, own.target)} for name, own in samples.items()}
        for name, own in means.items():
            values[name]["class_means"] = {str(c): own[c].tolist() for c in self.classes}
        headers = ("run", "accuracy", "confidence", "probability of the true class", "entropy (nat)")
        keys = ("accuracy", "mean_confidence", "mean_target_probability", "mean_entropy")
        table = Table(f"Means on {self.split}", headers, [(name, *(own[key] for key in keys)) for name, own in values.items()])
        figures = [self._histograms(samples)] + ([self._bars(runs, means)] if self.classes else [])
        return Findings(values, [table], figures, [note for own in samples.values() for note in own.notes])

    def _histograms(self, samples: dict[str, Labeled]) -> Figure:
        classes = max(own.classes for own in samples.values())
        largest = {name: own.probabilities.max(1).values for name, own in samples.items()}
        spread = {name: entropy(own.logits) for name, own in samples.items()}
        top = torch.tensor(float(classes)).log().item()
        panels = [
            Panel("The answer", "largest probability", "samples (%)", _outlines(largest, 0, 1), x_range=(0, 1)),
            Panel("The whole distribution", "entropy (nat)", "samples (%)", _outlines(spread, 0, top), x_range=(0, top)),
        ]
        return Figure("confidence", f"How sure the models are, {self.split}", panels, f"The largest entropy is log {classes}.")

    def _bars(self, runs: Sequence[Measured], means: dict[str, Tensor]) -> Figure:
        names = names_of(runs[0], max(own.shape[1] for own in means.values()))
        panels = []
        smallest = min(own[list(self.classes)].nan_to_num(1).min().item() for own in means.values())
        lowest = max(LOWEST, 10 ** math.floor(math.log10(max(smallest, LOWEST))))
        for each in self.classes:
            heights = {name: own[each].clamp_min(lowest) for name, own in means.items()}
            few = len(names) <= MOST_BARS
            marks: list[Mark] = [
                Bars(name, own) if few else Line(name, range(len(own)), own, markers=False) for name, own in heights.items()
            ]
            title = f"Samples of class {name_of(runs[0], each)}"
            panels.append(Panel(title, "class", "mean probability", marks, names * few, y_range=(lowest, 1), log=True))
        caption = "Mean probabilities of the samples of one class, on a logarithmic scale: the peak is the class itself."
        return Figure("class_means", f"What is said of a class, {self.split}", panels, caption)


def _outlines(values: dict[str, Tensor], low: float, high: float) -> list[Mark]:
    edges = torch.linspace(low, high, BINS + 1, dtype=torch.double)
    return [
        Histogram(name, edges, 100 * torch.histogram(own.clamp(low, high), edges).hist / len(own))
        for name, own in values.items()
    ]
