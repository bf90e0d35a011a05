"""Meters of texts: what GLUE reports, in percent, beside negative log-likelihood and calibration."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.protocol.outputs import Batch, Output
from kdzoo.tasks.meters import ClassificationMeter, calibration_error


class TextMeter(ClassificationMeter):
    """Accuracy, F1 (of class 1 of two, else the mean over classes), Matthews' correlation, nll, ece."""

    def result(self) -> dict[str, float]:
        logits, target = torch.cat(self.logits).double(), torch.cat(self.target)
        table = confusion(logits.argmax(1), target, logits.shape[1])
        return {
            "accuracy": 100.0 * (table.diagonal().sum() / table.sum()).item(),
            "f1": 100.0 * f1(table),
            "mcc": 100.0 * matthews(table),
            "nll": F.cross_entropy(logits, target).item(),
            "ece": calibration_error(logits, target),
        }


class ScoreMeter:
    """Pearson's and Spearman's correlation in percent, and the root mean squared error."""

    def __init__(self) -> None:
        self.scores: list[Tensor] = []
        self.target: list[Tensor] = []

    def update(self, output: Output, batch: Batch) -> None:
        self.scores.append(output.rows.logits[:, 0])
        self.target.append(batch.target)

    def result(self) -> dict[str, float]:
        scores, target = torch.cat(self.scores).double().cpu(), torch.cat(self.target).double().cpu()
        return {
            "pearson": 100.0 * correlation(scores, target),
            "spearman": 100.0 * correlation(ranks(scores), ranks(target)),
            "rmse": (scores - target).square().mean().sqrt().item(),
        }

    def arrays(self) -> dict[str, Tensor]:
        return {"scores": torch.cat(self.scores).cpu(), "target": torch.cat(self.target).cpu()}


def confusion(predicted: Tensor, target: Tensor, classes: int) -> Tensor:
    """How many of class i (row) were taken for class j (column), float64 (C, C)."""
    counts = torch.bincount(target * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).double()


def f1(table: Tensor) -> float:
    """F1 of class 1 where there are two classes, else the mean over classes; a class that nobody has counts 0.

    >>> f1(torch.tensor([[2.0, 0.0], [1.0, 3.0]]))  # precision 1, recall 3/4
    0.8571428571428571
    """
    both = 2 * table.diagonal()
    each = both / (table.sum(0) + table.sum(1)).clamp_min(1)
    return (each[1] if len(table) == 2 else each.mean()).item()


def matthews(table: Tensor) -> float:
    """Matthews' correlation, for any number of classes (J. Gorodkin, 2004); 0 where one side is constant.

    >>> matthews(torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    1.0
    """
    total, right = table.sum(), table.diagonal().sum()
    true, told = table.sum(1), table.sum(0)
    above = right * total - true @ told
    below = ((total**2 - told @ told) * (total**2 - true @ true)).sqrt()
    return (above / below).item() if below > 0 else 0.0


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of two vectors; 0 where one is constant."""
    a, b = a - a.mean(), b - b.mean()
    below = a.norm() * b.norm()
    return (a @ b / below).item() if below > 0 else 0.0


def ranks(values: Tensor) -> Tensor:
    """Ranks from 1, ties at their mean, float64."""
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts.double() - 1) / 2)[place]
