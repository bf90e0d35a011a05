"""How much a model's logits still say about which image they are of, over training.

Müller, Kornblith, Hinton, "When Does Label Smoothing Help?", NeurIPS 2019, arXiv 1906.02629, estimate the mutual information of
an image and the difference of two logits, under the training augmentation. Where logits tell nothing but the class of the two,
it is log 2. kdzoo's estimator: for N images of two classes and L draws of the augmentation, f_xl is the
difference of the two logits, mu_x its mean over draws, s^2 the mean over all (f_xl - mu_x)^2, and

    I = 1/(N L) sum_xl [ log N(f_xl; mu_x, s^2) - log 1/N sum_x' N(f_xl; mu_x', s^2) ]      0 <= I <= log N, in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.analysis import TRAIN, Analysis, Findings, Measured, MeasuredModel, Table, Wants
from kdzoo.protocol.figures import REFERENCE, Figure, Line, Mark, Panel
from kdzoo.ranges import at_least
from kdzoo_smoothing.analyses.by_class import check_classes, labeled, name_of

AT_ONCE = 128
"""Images that are compared with all others at once."""


class Information(NamedTuple):
    """The estimate, means (N,) over draws, the pooled variance, and the most that the estimate can be, log N."""

    estimate: Tensor
    means: Tensor
    variance: Tensor
    most: float


def information(difference: Tensor) -> Information:
    """The mutual information of an image and differences of logits (N, L), in nats."""
    means = difference.mean(1)
    variance = (difference - means[:, None]).square().mean()
    own = (difference - means[:, None]).square() / (2 * variance)  # (N, L)
    parts = ((part[:, :, None] - means).square() / (2 * variance) for part in difference.split(AT_ONCE))  # each (n, L, N)
    mixture = torch.cat([(-part).logsumexp(2) for part in parts]) - math.log(len(means))
    return Information((-own - mixture).mean(), means, variance, math.log(len(means)))


class MILogit(Analysis):
    """How much the difference of two logits says about which image it is of, over training (Müller et al., NeurIPS 2019).

    Args:
        classes: the two classes whose logits and images are looked at.
        draws: of the training augmentation, for each image.
        samples: how many training images are looked at, all classes together.
    """

    def __init__(self, *, classes: Sequence[int] = (0, 1), draws: int = 10, samples: int = 2000) -> None:
        at_least(2, draws=draws, samples=samples)
        if len(set(classes)) != 2:
            raise ValueError(f"classes must be two different classes, got {list(classes)}")
        self.classes, self.draws, self.samples = tuple(classes), draws, samples

    def wants(self) -> Wants:
        return Wants(splits=(TRAIN,), draws=self.draws, samples=self.samples, epochs=True, capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        values, notes, lines = {}, [], []
        for run in runs:
            over = {epoch: self._of(run, model) for epoch, model in run.over_epochs().items()}
            notes += labeled(run, TRAIN).notes
            if len(over) == 1:
                notes.append(
                    f"{run.name}: no checkpoint of an earlier epoch is there; a run keeps all with runtime.keep=1000 and "
                    "runtime.checkpoint_every=null."
                )
            last = over[run.trained]
            values[run.name] = {
                "classes": list(self.classes),
                "draws": self.draws,
                "images": len(last.means),
                "information": last.estimate.item(),
                "variance": last.variance.item(),
                "most": last.most,
                "epochs": {str(epoch): each.estimate.item() for epoch, each in over.items()},
            }
            lines.append(Line(run.name, list(over), [each.estimate.item() for each in over.values()]))
        headers = ("run", "images", "information (nat)", "at most, log N (nat)", "variance under draws")
        rows = [(n, v["images"], v["information"], v["most"], v["variance"]) for n, v in values.items()]
        pair = " and ".join(name_of(runs[0], each) for each in self.classes)
        return Findings(values, [Table(f"Images of {pair}", headers, rows)], [self._figure(runs, lines, pair)], notes)

    def _of(self, run: Measured, model: MeasuredModel) -> Information:
        answers = model.splits[TRAIN]
        own = labeled(run, TRAIN, answers=answers)
        check_classes(run, self.classes, own.classes, "analyses.mi_logit.classes")
        chosen = torch.isin(own.target, torch.tensor(self.classes))
        for each in self.classes:
            if not bool((own.target == each).any()):
                raise CapabilityError(
                    f"the run {run.name} has no training images of class {name_of(run, each)} among the {len(own.target)} "
                    "looked at; choose another class, or more samples."
                )
        assert answers.drawn is not None  # they are among the wants
        drawn = answers.drawn[own.kept][chosen].double()
        found = information(drawn[:, :, self.classes[0]] - drawn[:, :, self.classes[1]])
        if not found.variance > 0:
            raise CapabilityError(
                f"the run {run.name} was trained without augmentation, so all draws of an image give the same logits; "
                "analyses.mi_logit needs a recipe with augmentation (task.crop, task.flip)."
            )
        return found

    def _figure(self, runs: Sequence[Measured], lines: list[Line], pair: str) -> Figure:
        epochs = [epoch for line in lines for epoch in line.x]
        ends = [min(epochs), max(epochs)] if min(epochs) < max(epochs) else [min(epochs) - 0.5, max(epochs) + 0.5]
        level = Line("log 2: the class alone", ends, [math.log(2)] * 2, dashed=True, markers=False, group=REFERENCE)
        marks: list[Mark] = [*lines, level]
        caption = f"Training images of the classes {pair}, {self.draws} draws of the augmentation each."
        panel = Panel("Information about the image", "epochs", "mutual information (nat)", marks, counted=True)
        return Figure("information", "What the difference of two logits says about its image", [panel], caption)
