"""Stability: how much what a model says of a class varies from sample to sample.

Shen, Liu, Xu, Chen, Cheng, Savvides, "Is Label Smoothing Truly Incompatible with Knowledge Distillation: An Empirical Study",
ICLR 2021, arXiv 2104.00676. With p_i the softmax of sample i, of class c, and m_c the mean of p_i over the n_c samples of c:

    1 - S = 1/K sum_c v_c

    vector_sq    v_c = 1/n_c sum_i |p_i - m_c|^2                    equation 2 of the paper
    vector_norm  v_c = 1/n_c sum_i |p_i - m_c|
    scalar_sq    v_c = 1/n_c sum_i (p_ic - m_cc)^2                  of the true class alone
    scalar_std   v_c = sqrt(1/n_c sum_i (p_ic - m_cc)^2)

The paper prints 1 - S, "aggregated intra-class variance"; its equation leaves open which form its tables hold, and of which
split they are, so all four are computed and named. The spread between classes is ours: the mean squared distance of the m_c to
their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from kdzoo.protocol.analysis import Analysis, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import Bars, Figure, Line, Mark, Panel
from kdzoo_smoothing.analyses.by_class import class_means, labeled, names_of

Variant = Literal["vector_sq", "vector_norm", "scalar_sq", "scalar_std"]
VARIANTS: tuple[Variant, ...] = ("vector_sq", "vector_norm", "scalar_sq", "scalar_std")
MOST_BARS = 20


def within_class(probabilities: Tensor, target: Tensor, variant: Variant = "vector_sq") -> Tensor:
    """The spread v_c (K,) of probabilities (N, K) within each class of target (N,); NaN for a class without samples."""
    classes = probabilities.shape[1]
    deviation = probabilities - class_means(probabilities, target, classes)[target]
    if variant.startswith("scalar"):
        deviation = deviation.gather(1, target[:, None])
    squared = deviation.square().sum(1)
    found = class_means(squared.sqrt() if variant == "vector_norm" else squared, target, classes)
    return found.sqrt() if variant == "scalar_std" else found


def between_class(probabilities: Tensor, target: Tensor, present: Tensor | None = None) -> Tensor:
    """The mean squared distance of the class means to their own mean, over the classes `present` (C,), or that have samples."""
    means = class_means(probabilities, target, probabilities.shape[1])
    means = means[~means.isnan().any(1) if present is None else present]
    return (means - means.mean(0)).square().sum(1).mean()


class Stability(Analysis):
    """How much what a model says of a class varies from sample to sample (Shen et al., ICLR 2021); four variants.

    Args:
        variant: the one that figures show; the values have all.
        split: of which samples.
    """

    def __init__(self, *, variant: Variant = "vector_sq", split: str = "test") -> None:
        self.variant, self.split = variant, split

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        values, notes, rows, by_class = {}, [], [], {}
        for run in runs:
            own = labeled(run, self.split, least=2)
            notes += own.notes
            spread = {each: within_class(own.probabilities, own.target, each) for each in VARIANTS}
            means = {each: found[own.present].mean().item() for each, found in spread.items()}
            by_class[run.name] = spread[self.variant].masked_fill(~own.present, torch.nan)
            between = between_class(own.probabilities, own.target, own.present).item()
            rows.append((run.name, *means.values(), between))
            values[run.name] = {
                "split": self.split,
                "variant": self.variant,
                "one_minus_stability": means[self.variant],
                "variants": means,
                "between_class": between,
                "per_class": by_class[run.name].tolist(),
            }
        headers = ("run", *(f"1 − S, {each}" for each in VARIANTS), "between classes")
        table = Table(f"Spread within classes on {self.split}", headers, rows)
        return Findings(values, [table], [self._figure(runs, by_class)], notes)

    def _figure(self, runs: Sequence[Measured], by_class: Mapping[str, Tensor]) -> Figure:
        classes = names_of(runs[0], max(len(each) for each in by_class.values()))
        whole = [Bars(name, [own.nanmean().item()]) for name, own in by_class.items()]
        unit = "probability²" if self.variant.endswith("_sq") else "probability"
        few = len(classes) <= MOST_BARS
        each: list[Mark] = (
            [Bars(name, own) for name, own in by_class.items()]
            if few
            else [_falling(name, own[~own.isnan()]) for name, own in by_class.items()]
        )
        panels = [
            Panel("Mean over classes", "", f"1 − S ({unit})", whole, ["all classes"]),
            Panel("By class", "class" if few else "classes, in order of their spread", f"spread ({unit})", each, classes * few),
        ]
        caption = f"Variant {self.variant}. Lower: what a model says depends less on the sample, and more on its class alone."
        return Figure("stability", f"Spread of predictions within classes, {self.split}", panels, caption)


def _falling(name: str, spread: Tensor) -> Line:
    return Line(name, range(len(spread)), spread.sort(descending=True).values, markers=False)
