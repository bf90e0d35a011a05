"""Gradient rescaling: by how much a teacher's soft term changes the size of each sample's gradient.

Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain, "Understanding and Improving Knowledge Distillation", arXiv 2002.03532. With the
loss (1 - a) CE + a H(q, p~), where p~ and q are the student's and the teacher's softmax at the temperature T, and p the
student's at 1, the logits of a sample of class t have the gradients

    g_ce = p - y            g_kd = (1 - a) (p - y) + a / T (p~ - q)

and their ratio at the true class, which is also that of the sums over the other classes, is

    w_t = (1 - a) + a / T (q_t - p~_t) / (1 - p_t).

At T = 1 it grows with the teacher's confidence q_t. There is no T^2 in front of the soft term here; a loss with it is this one
with a / (a + (1 - a) / T^2) in the place of a, up to a factor that all samples share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.analysis import TRAIN, Analysis, Answers, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import Figure, Line, Panel, Points
from kdzoo.ranges import above, between
from kdzoo_smoothing.analyses.by_class import Labeled, labeled

MOST_POINTS = 2000
EDGES = (-0.02, 1.02)
FENCE = 5
"""Interquartile ranges beyond the quartiles that a figure shows."""


class Rescaling(NamedTuple):
    """Of each sample: gradients (N, K) of both losses, their ratio at the true class (N,), that of the sums of their absolute
    values (N,), and the teacher's and the student's probability of the true class at the temperature (N,)."""

    grad_ce: Tensor
    grad_kd: Tensor
    weight: Tensor
    weight_l1: Tensor
    teacher: Tensor
    student: Tensor


class Correlations(NamedTuple):
    """Of weights and the teacher's confidence, linear and of ranks."""

    pearson: float
    spearman: float


def rescaling(student: Tensor, teacher: Tensor, target: Tensor, *, weight: float, temperature: float) -> Rescaling:
    """Gradients of student logits (N, K) with a teacher's (N, K), and their ratios.

    Args: weight: `a`, of the soft term.
    """
    place = target[:, None]
    plain, soft, theirs = student.softmax(1), (student / temperature).softmax(1), (teacher / temperature).softmax(1)
    others = student.scatter(1, place, -torch.inf).logsumexp(1).sub(student.logsumexp(1)).exp()  # 1 - p_t, exact near 0
    grad_ce = plain.scatter(1, place, -others[:, None])
    grad_kd = (1 - weight) * grad_ce + weight / temperature * (soft - theirs)
    confidence, own = theirs.gather(1, place)[:, 0], soft.gather(1, place)[:, 0]
    ratio = (1 - weight) + weight / temperature * (confidence - own) / others
    return Rescaling(grad_ce, grad_kd, ratio, grad_kd.abs().sum(1) / grad_ce.abs().sum(1), confidence, own)


def pearson(a: Tensor, b: Tensor) -> float:
    """The linear correlation of two vectors (N,); NaN where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    return (a @ b / (a.norm() * b.norm())).item()


def spearman(a: Tensor, b: Tensor) -> float:
    """The correlation of the ranks of two vectors (N,); equal values share their mean rank."""
    return pearson(_ranks(a), _ranks(b))


class GradRescale(Analysis):
    """By how much a teacher's soft term changes the size of each sample's gradient, and whether that follows its confidence.

    Args:
        weight: of the soft term, above 0 and at most 1.
        temperature: of both softmaxes.
        split: of which samples; a gradient is one of training.
        samples: how many of them, the same for all runs.
    """

    def __init__(self, *, weight: float = 0.9, temperature: float = 4.0, split: str = TRAIN, samples: int = 5000) -> None:
        above(0, weight=weight, temperature=temperature, samples=samples)
        between(0, 1, weight=weight)
        self.weight, self.temperature, self.split, self.samples = weight, temperature, split, samples

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), teacher=True, epochs=True, samples=self.samples, capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        values, notes, rows = {}, [], []
        found: dict[str, Rescaling] = {}
        correlated: dict[str, dict[int, Correlations]] = {}
        for run in runs:
            own = labeled(run, self.split)
            notes += own.notes
            teacher = _compared(run, run.teaching.splits[self.split], own)
            over = {epoch: self._of(model.splits[self.split], teacher, own) for epoch, model in run.over_epochs().items()}
            found[run.name] = last = over[run.trained]
            correlated[run.name] = steps = {epoch: _correlations(each) for epoch, each in over.items()}
            mean, median = last.weight.mean().item(), last.weight.median().item()
            rows.append((run.name, mean, median, *steps[run.trained]))
            if len(over) == 1:
                notes.append(
                    f"{run.name}: no checkpoint of an earlier epoch is there; a run keeps all with runtime.keep=1000 and "
                    "runtime.checkpoint_every=null."
                )
            values[run.name] = {
                "split": self.split,
                "weight": self.weight,
                "temperature": self.temperature,
                "samples": len(own.target),
                "mean_weight": mean,
                "median_weight": median,
                "mean_weight_l1": last.weight_l1.mean().item(),
                **steps[run.trained]._asdict(),
                "epochs": {str(epoch): each._asdict() for epoch, each in steps.items()},
            }
        headers = ("run", "mean w", "median w", "Pearson with q", "Spearman with q")
        title = f"Weights of samples on {self.split}, a = {self.weight:g}, T = {self.temperature:g}"
        return Findings(values, [Table(title, headers, rows)], [self._figure(found, correlated)], notes)

    def _of(self, answers: Answers, teacher: Tensor, own: Labeled) -> Rescaling:
        student = answers.logits[own.kept].double()
        return rescaling(student, teacher, own.target, weight=self.weight, temperature=self.temperature)

    def _figure(self, found: Mapping[str, Rescaling], correlated: Mapping[str, Mapping[int, Correlations]]) -> Figure:
        ends, outside = _range([each.weight for each in found.values()])
        panels, lines = [], []
        for name, each in found.items():
            steps = correlated[name]
            pearsons, spearmans = zip(*steps.values(), strict=True)
            lines.append(Line(f"{name}, Pearson", list(steps), pearsons, group=name))
            lines.append(Line(f"{name}, Spearman", list(steps), spearmans, group=name, dashed=True))
            shown = torch.linspace(0, len(each.weight) - 1, min(len(each.weight), MOST_POINTS)).round().long()
            points = Points(name, each.teacher[shown], each.weight[shown])
            title = f"{name}: r = {pearsons[-1]:.2f}, of ranks {spearmans[-1]:.2f}"
            axes = ("teacher's probability q of the true class", "weight w of a sample")
            panels.append(Panel(title, *axes, [points], x_range=EDGES, y_range=ends))
        panels.append(Panel("Over training", "epochs", "correlation of w and q", lines, y_range=(-1.03, 1.03), counted=True))
        caption = (
            f"w is the gradient at the true class with the soft term, over that without it (a = {self.weight:g}, "
            f"T = {self.temperature:g}). {outside} weights of {sum(len(each.weight) for each in found.values())} lie outside."
        )
        return Figure("rescaling", f"How the teacher rescales gradients, {self.split}", panels, caption)


def _compared(run: Measured, answers: Answers, own: Labeled) -> Tensor:
    """The teacher's logits of the samples that have a class. Raises CapabilityError where it has other classes."""
    if answers.logits.shape[1] != own.classes:
        raise CapabilityError(
            f"the run {run.name}: its teacher tells {answers.logits.shape[1]} classes apart, its student {own.classes}; "
            "weights of samples compare the same classes."
        )
    return answers.logits[own.kept].double()


def _correlations(found: Rescaling) -> Correlations:
    return Correlations(pearson(found.weight, found.teacher), spearman(found.weight, found.teacher))


def _ranks(values: Tensor) -> Tensor:
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts.double() - 1) / 2)[place]


def _range(weights: Sequence[Tensor]) -> tuple[tuple[float, float], int]:
    """The ends of an axis that shows all but the farthest weights, and how many it leaves out: w has no lower bound."""
    every = torch.cat(list(weights))
    first, third = every.quantile(torch.tensor([0.25, 0.75], dtype=every.dtype)).tolist()
    reach = FENCE * (third - first)
    low, high = max(every.min().item(), first - reach), min(every.max().item(), third + reach)
    margin = 0.05 * (high - low) or 0.05
    low, high = low - margin, high + margin
    return (low, high), int(((every < low) | (every > high)).sum())
