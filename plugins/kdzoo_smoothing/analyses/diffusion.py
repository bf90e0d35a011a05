"""Diffusion: whether distillation at a higher temperature moves the classes together that are alike.

Chandrasegaran, Tran, Zhao, Cheung, "Revisiting Label Smoothing and Knowledge Distillation Compatibility: What was Missing?",
ICML 2022, arXiv 2206.14532, explain by a systematic diffusion of a student's features why high temperatures do not go with a
smoothed teacher. This index is kdzoo's own, not the published one. With D the distances of class centers over their mean over
pairs, of a reference run (T0) and of another run (T):

    eta_kl = 1 - D_kl(T) / D_kl(T0)
    index_k = mean of eta_kl over the n classes l nearest to k in D(T0)  -  mean over the others

Above 0: the classes that were near have come nearer than the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.analysis import Analysis, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import Bars, Figure, Heatmap, Panel
from kdzoo.ranges import at_least
from kdzoo_smoothing.analyses.by_class import class_means, labeled, names_of


@dataclass(frozen=True)
class Diffused:
    """Shrinking eta (K, K), the similar classes (K, n), mean eta (K,) over them and over the others, and the index (K,)."""

    eta: Tensor
    similar: Tensor
    eta_similar: Tensor
    eta_others: Tensor
    index: Tensor


def center_distances(centers: Tensor) -> Tensor:
    """Distances (K, K) of class centers (K, d), over their mean over pairs of classes."""
    found = (centers[:, None] - centers).square().sum(2).sqrt()
    return found / found[~torch.eye(len(centers), dtype=torch.bool)].mean()


def diffusion(reference: Tensor, other: Tensor, *, similar: int) -> Diffused:
    """The index from relative distances (K, K) of a reference and of another model."""
    diagonal = torch.eye(len(reference), dtype=torch.bool)
    eta = (1 - other / reference).masked_fill(diagonal, 0)
    nearest = reference.masked_fill(diagonal, torch.inf).topk(similar, dim=1, largest=False).indices
    chosen = torch.zeros_like(diagonal).scatter(1, nearest, True)
    others = ~chosen & ~diagonal
    means = [(eta * which).sum(1) / which.sum(1) for which in (chosen, others)]
    return Diffused(eta, nearest, means[0], means[1], means[0] - means[1])


class Diffusion(Analysis):
    """Whether classes that are near in one run have come nearer in others; the first run is the reference.

    Args:
        similar: how many of the nearest classes of each class count as similar, fewer than there are others.
        tap: the feature whose class means are compared; maps are averaged over positions.
        split: of which samples.
    """

    fewest: ClassVar[int] = 2

    def __init__(self, *, similar: int = 2, tap: str = "pooled", split: str = "test") -> None:
        at_least(1, similar=similar)
        self.similar, self.tap, self.split = similar, tap, split

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), taps=(self.tap,), capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        present, centers, notes = self._centers(runs)
        relative = {name: center_distances(own[present]) for name, own in centers.items()}
        first = runs[0].name
        kept = present.nonzero().flatten().tolist()
        names = [names_of(runs[0], len(present))[each] for each in kept]
        found = {n: diffusion(relative[first], own, similar=self.similar) for n, own in relative.items() if n != first}
        values: dict[str, Mapping[str, object]] = {
            name: {
                "reference": first,
                "split": self.split,
                "classes": kept,
                "index": own.index,
                "mean_index": own.index.mean().item(),
                "eta": own.eta,
                "similar_classes": [[kept[each] for each in row] for row in own.similar.tolist()],
                "eta_similar": own.eta_similar,
                "eta_others": own.eta_others,
            }
            for name, own in found.items()
        }
        rows = [
            (name, own.eta_similar.mean().item(), own.eta_others.mean().item(), own.index.mean().item())
            for name, own in found.items()
        ]
        table = Table(f"Against {first} on {self.split}", ("run", "η, similar classes", "η, others", "index"), rows)
        return Findings(values, [table], [self._figure(first, found, names)], notes)

    def _centers(self, runs: Sequence[Measured]) -> tuple[Tensor, dict[str, Tensor], list[str]]:
        """The classes that all runs have, and the class centers (K, d) of each run."""
        present, centers, notes = [], {}, []
        for run in runs:
            own = labeled(run, self.split)
            notes += own.notes
            feature = next(iter(run.student.splits[self.split].features.values())).double()[own.kept]
            pooled = feature.mean(tuple(range(2, feature.ndim))) if feature.ndim > 2 else feature
            centers[run.name] = class_means(pooled, own.target, own.classes)
            present.append(own.present)
        if len({len(each) for each in present}) > 1:
            raise CapabilityError(
                f"the runs {', '.join(centers)} have {', '.join(str(len(each)) for each in present)} classes; "
                "diffusion compares the same classes."
            )
        shared = torch.stack(present).all(0)
        if int(shared.sum()) < self.similar + 2:
            raise CapabilityError(
                f"analyses.diffusion.similar={self.similar} wants at least {self.similar + 2} classes with samples, but the "
                f"runs share {int(shared.sum())}; set it lower."
            )
        return shared, centers, notes

    def _figure(self, first: str, found: Mapping[str, Diffused], names: Sequence[str]) -> Figure:
        highest = max(own.eta.abs().max().item() for own in found.values()) or 1.0
        panels = [
            Panel(name, "class", "class", [Heatmap("", own.eta, "η", -highest, highest, rows=names, columns=names, group=name)])
            for name, own in found.items()
        ]
        bars = [Bars(name, own.index) for name, own in found.items()]
        panels.append(Panel("Index", "class", "η of similar classes − η of others", bars, names))
        caption = f"η is by how much the distance of two class centers shrank against {first}, relative to all distances."
        return Figure("diffusion", f"Classes that move together, {self.split}", panels, caption)
