"""Penultimate features of three classes, projected on two dimensions.

Müller, Kornblith, Hinton, "When Does Label Smoothing Help?", NeurIPS 2019, arXiv 1906.02629: with label smoothing the features
of a class gather closely around its template, the row of the last layer's weight, equally far from those of other classes.

    plane   the plane through the three templates w_0, w_1, w_2: an orthonormal basis by Gram-Schmidt on w_1 - w_0 and
            w_2 - w_0, with w_0 at the origin. Distances between templates stay as they are.
    pca     the space that the templates span, and in it the two directions in which features of `train` vary most.

Which of the two a picture shows is said in its title; the order of the basis and its origin are kdzoo's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.analysis import TEST, TRAIN, Analysis, Answers, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import Figure, Panel, Points
from kdzoo.ranges import above
from kdzoo_smoothing.analyses.by_class import check_classes, labeled, name_of

TOLERANCE = 1e-3
MOST_POINTS = 400


class Projection(NamedTuple):
    """A projection on two dimensions: coordinates are (features - origin) @ basis, basis (d, 2)."""

    origin: Tensor
    basis: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.origin) @ self.basis


def plane_of(templates: Tensor) -> Projection:
    """The plane through three templates (3, d), with the first at the origin."""
    first, second = templates[1] - templates[0], templates[2] - templates[0]
    first = first / first.norm()
    second = second - (second @ first) * first
    return Projection(templates[0], torch.stack([first, second / second.norm()], 1))


def pca_of(features: Tensor, templates: Tensor) -> tuple[Projection, Tensor]:
    """The two main directions of features (N, d) within the span of three templates (3, d), and the variance (3,) of each."""
    span = torch.linalg.qr(templates.T)[0]  # (d, 3)
    within = features @ span
    center = within.mean(0)
    _, lengths, directions = torch.linalg.svd(within - center, full_matrices=False)
    return Projection(span @ center, span @ directions[:2].T), lengths.square() / (len(features) - 1)


def centroids(features: Tensor, target: Tensor, classes: Sequence[int]) -> Tensor:
    """Mean features (c, d) of each of the classes."""
    return torch.stack([features[target == each].mean(0) for each in classes])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (n, m) of the rows of (n, d) and (m, d)."""
    return (a[:, None] - b).square().sum(2).sqrt()


def within_scatter(features: Tensor, target: Tensor, classes: Sequence[int]) -> Tensor:
    """The mean squared distance (c,) of the features of each class to their mean."""
    means = centroids(features, target, classes)
    parts = [(features[target == each] - mean).square().sum(1).mean() for each, mean in zip(classes, means, strict=True)]
    return torch.stack(parts)


class Penultimate(Analysis):
    """Features before the last layer, of three classes, on a plane (Müller et al., NeurIPS 2019); with and without smoothing.

    Args:
        classes: three classes.
        projection: `plane` through the three templates, or `pca` within the space that they span.
        tap: the vector that the last layer reads.
        samples: how many of each split, all classes together.
    """

    def __init__(
        self,
        *,
        classes: Sequence[int] = (0, 1, 2),
        projection: Literal["plane", "pca"] = "plane",
        tap: str = "pooled",
        samples: int = 5000,
    ) -> None:
        above(0, samples=samples)
        if len(set(classes)) != 3:
            raise ValueError(f"classes must be three different classes, got {list(classes)}")
        self.classes, self.projection, self.tap, self.samples = tuple(classes), projection, tap, samples

    def wants(self) -> Wants:
        both = (TRAIN, TEST)
        return Wants(splits=both, taps=(self.tap,), classifier=True, samples=self.samples, capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        values: dict[str, dict[str, Any]] = {}
        notes, panels, rows = [], [], []
        for run in runs:
            features = {split: self._features(run, split) for split in (TRAIN, TEST)}
            for split in (TRAIN, TEST):
                notes += labeled(run, split).notes
            project = self._projection(run, features[TRAIN][0])
            templates = self._templates(run)
            values[run.name] = {"projection": self.projection, "classes": list(self.classes), "tap": self.tap}
            for split, (own, target) in features.items():
                found = self._found(own, target, templates)
                values[run.name][split] = found
                rows.append((run.name, split, found["mean_within"], found["mean_between"], found["ratio"]))
                panels.append(self._panel(run, split, project, own, target, templates))
        headers = (
            "run",
            "split",
            "within (mean squared distance)",
            "between centers (mean squared distance)",
            "within / between",
        )
        title = "the plane of the templates" if self.projection == "plane" else "PCA within the templates' span"
        caption = (
            f"Projection: {title}. Large marks: the templates, rows of the last layer's weight. At most {MOST_POINTS} samples "
            "a class."
        )
        figure = Figure("penultimate", "Features before the last layer", panels, caption)
        return Findings(values, [Table("Spread of features", headers, rows)], [figure], list(dict.fromkeys(notes)))

    def _features(self, run: Measured, split: str) -> tuple[Tensor, Tensor]:
        """Features (n, d) and classes (n,) of the samples of the three classes."""
        own, answers = labeled(run, split), run.student.splits[split]
        check_classes(run, self.classes, own.classes, "analyses.penultimate.classes")
        feature = next(iter(answers.features.values())).double()
        self._check(run, answers, feature)
        feature = feature[own.kept]
        chosen = torch.isin(own.target, torch.tensor(self.classes))
        for each in self.classes:
            if int((own.target == each).sum()) < 2:
                raise CapabilityError(
                    f"the run {run.name} has fewer than two samples of class {name_of(run, each)} on {split} among those "
                    "looked at; choose other classes, or more samples."
                )
        return feature[chosen], own.target[chosen]

    def _check(self, run: Measured, answers: Answers, feature: Tensor) -> None:
        """Refuse a tap that the last layer does not read."""
        classifier = run.student.classifier
        assert classifier is not None  # it is among the wants
        weight = classifier.weight.double()
        if feature.ndim == 2 and feature.shape[1] == weight.shape[1] and len(weight) == answers.logits.shape[1]:
            said = feature @ weight.T + (0 if classifier.bias is None else classifier.bias.double())
            if (said - answers.logits).abs().max() <= TOLERANCE * answers.logits.abs().max():
                return
        raise CapabilityError(
            f"the tap {self.tap!r} of the run {run.name} is not what its last layer reads, so its features and that layer's "
            "rows are in different spaces; set analyses.penultimate.tap to the vector before the last layer."
        )

    def _templates(self, run: Measured) -> Tensor:
        assert run.student.classifier is not None
        return run.student.classifier.weight.double()[list(self.classes)]

    def _projection(self, run: Measured, features: Tensor) -> Projection:
        templates = self._templates(run)
        if templates.shape[1] < 3 or torch.linalg.matrix_rank(templates - templates.mean(0)) < 2:
            raise CapabilityError(
                f"the three templates of the run {run.name} lie on one line, so there is no plane through them."
            )
        return plane_of(templates) if self.projection == "plane" else pca_of(features, templates)[0]

    def _found(self, features: Tensor, target: Tensor, templates: Tensor) -> dict[str, Any]:
        centers = centroids(features, target, self.classes)
        apart = distances(centers, centers)
        within = within_scatter(features, target, self.classes)
        between = apart.square()[~torch.eye(3, dtype=torch.bool)].mean()
        own = [distances(features[target == c], templates).mean(0).tolist() for c in self.classes]
        return {
            "centroid_distances": apart,
            "mean_template_distances": own,
            "within_scatter": within,
            "mean_within": within.mean().item(),
            "mean_between": between.item(),
            "ratio": (within.mean() / between).item(),
        }

    def _panel(
        self, run: Measured, split: str, project: Projection, features: Tensor, target: Tensor, templates: Tensor
    ) -> Panel:
        names: Mapping[int, str] = {each: name_of(run, each) for each in self.classes}
        marks = []
        for each in self.classes:
            shown = project(features[target == each][:MOST_POINTS])
            marks.append(Points(f"class {names[each]}", shown[:, 0], shown[:, 1]))
        for each, place in zip(self.classes, project(templates), strict=True):
            marks.append(Points("", place[:1], place[1:], group=f"class {names[each]}", large=True))
        axes = ("along w₁ − w₀", "across it") if self.projection == "plane" else ("first component", "second component")
        return Panel(f"{run.name}, {split}", f"{axes[0]} (units of the feature)", axes[1], marks, equal=True)
