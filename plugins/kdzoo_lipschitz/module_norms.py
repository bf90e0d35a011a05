"""How much the modules of a student stretch what they get, beside its teacher's, over training.

Shang, Duan, Zong, Nie, Yan, "Lipschitz Continuity Guided Knowledge Distillation", ICCV 2021, arXiv 2108.12905, compare the
spectral norms of transmitting matrices. For a module between the taps i and i + 1, with maps F_i (C, H, W) of a sample, the
first average-pooled to the second:

    norm    mean over samples of the largest singular value of A_i = F_i F_{i+1}^T / (H W)
    bound   an upper bound of the module's Lipschitz constant in eval mode, from its layers (`module_bound`)

The norm depends on the data and grows with the size of the features; the bound does not and holds for all inputs. A student
narrower than its teacher has fewer channels to add up, so levels differ; the method compares after connectors, which a deployed
student has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.functional.flow import flow_matrix
from kdzoo.protocol.analysis import TEST, Analysis, Findings, Measured, MeasuredModel, Table, Wants
from kdzoo.protocol.figures import Bars, Figure, Line, Mark, Panel
from kdzoo.ranges import at_least
from kdzoo_lipschitz.module_bound import UnboundedError, module_bound

AT_ONCE = 64
"""Samples whose matrices are decomposed at once."""


class Stretch(NamedTuple):
    """Of each module of a model: the norm, and the bound; NaN where none is known."""

    norms: list[float]
    bounds: list[float]


@dataclass(frozen=True)
class Compared:
    """A run: what its modules are called, its student by epoch, and its teacher."""

    name: str
    modules: list[str]
    epochs: Mapping[int, Stretch]
    teacher: Stretch

    @property
    def student(self) -> Stretch:
        """As it is deployed."""
        return list(self.epochs.values())[-1]

    def rows(self) -> list[tuple[object, ...]]:
        """Of a table, one a module."""
        parts = (self.modules, self.student.norms, self.teacher.norms, self.student.bounds, self.teacher.bounds)
        return [(self.name, *row) for row in zip(*parts, strict=True)]


def transmitting_norm(first: Tensor, second: Tensor) -> Tensor:
    """The mean spectral norm of the transmitting matrices of maps (N, C, H, W) and (N, D, H', W')."""
    parts = zip(first.split(AT_ONCE), second.split(AT_ONCE), strict=True)
    return torch.cat([torch.linalg.matrix_norm(flow_matrix(a, b), ord=2) for a, b in parts]).mean()


class ModuleNorms(Analysis):
    """How much the modules of a student stretch what they get, beside its teacher's, over training (Shang et al., ICCV 2021).

    Args:
        taps: two or more, in forward order; a module is what is between two that follow each other.
        split: of which samples; samples: how many of them.
    """

    def __init__(self, *, taps: Sequence[str] = ("stages.preact",), split: str = TEST, samples: int = 500) -> None:
        at_least(1, samples=samples)
        self.taps, self.split, self.samples = tuple(taps), split, samples

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), taps=self.taps, teacher=True, module=True, epochs=True, samples=self.samples)

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        notes: list[str] = []
        compared = [self._compared(run, notes) for run in runs]
        values = {
            each.name: {
                "split": self.split,
                "samples": len(run.student.splits[self.split].index),
                "modules": each.modules,
                "student": each.student._asdict(),
                "teacher": each.teacher._asdict(),
                "epochs": {str(epoch): step._asdict() for epoch, step in each.epochs.items()},
            }
            for each, run in zip(compared, runs, strict=True)
        }
        headers = ("run", "module", "norm, student", "norm, teacher", "bound, student", "bound, teacher")
        table = Table(f"Modules on {self.split}", headers, [row for each in compared for row in each.rows()])
        return Findings(values, [table], [self._bars(compared), self._lines(compared)], list(dict.fromkeys(notes)))

    def _compared(self, run: Measured, notes: list[str]) -> Compared:
        modules, over = self._modules(run), run.over_epochs()
        if len(over) == 1:
            notes.append(
                f"{run.name}: no checkpoint of an earlier epoch is there; a run keeps all with runtime.keep=1000 and "
                "runtime.checkpoint_every=null."
            )
        epochs = {epoch: self._of(run, "student", model, notes) for epoch, model in over.items()}
        return Compared(run.name, modules, epochs, self._of(run, "teacher", run.teaching, notes))

    def _modules(self, run: Measured) -> list[str]:
        """What the modules are called. Raises CapabilityError where they cannot be paired."""
        taps = {role: list(model.splits[self.split].features) for role, model in run.models().items()}
        student, teacher = taps["student"], taps["teacher"]
        if len(student) < 2 or len(student) != len(teacher):
            listed = [f"{len(each)} ({', '.join(each)})" for each in (student, teacher)]
            raise CapabilityError(
                f"analyses.lipschitz looks at what is between two taps, and pairs the student's with the teacher's, but the "
                f"run {run.name} has {listed[0]} in its student and {listed[1]} in its teacher; name two or more taps that "
                "both have, e.g. analyses.lipschitz.taps=[stage1.preact,stage2.preact]."
            )
        return [f"{a} → {b}".replace(".preact", "") for a, b in pairwise(student)]

    def _of(self, run: Measured, role: str, model: MeasuredModel, notes: list[str]) -> Stretch:
        assert model.module is not None  # it is among the wants
        features = model.splits[self.split].features
        norms, bounds = [], []
        for (first, a), (second, b) in pairwise(features.items()):
            norms.append(transmitting_norm(_as_map(run, first, a), _as_map(run, second, b)).item())
            try:
                bounds.append(module_bound(model.module, first, second, a[:1]))
            except UnboundedError as error:
                bounds.append(torch.nan)
                notes.append(f"{run.name}: the module of its {role} up to {second} has no bound: {error}.")
        return Stretch(norms, bounds)

    def _bars(self, compared: Sequence[Compared]) -> Figure:
        panels = []
        for each in compared:
            for title, student, teacher in (
                ("mean spectral norm", each.student.norms, each.teacher.norms),
                ("bound of the constant", each.student.bounds, each.teacher.bounds),
            ):
                bars: list[Mark] = [Bars("student", student), Bars("teacher", teacher)]
                panels.append(Panel(f"{each.name}: {title}", "module", title, bars, each.modules))
        caption = "Norms are of the transmitting matrices of what comes before and after a module; bounds hold for all inputs."
        return Figure("modules", f"How much modules stretch, {self.split}", panels, caption)

    def _lines(self, compared: Sequence[Compared]) -> Figure:
        panels = []
        for each in compared:
            marks: list[Mark] = []
            at = list(each.epochs)
            ends = [min(at), max(at)] if len(at) > 1 else [at[0] - 0.5, at[0] + 0.5]
            for number, module in enumerate(each.modules):
                ours, level = [step.norms[number] for step in each.epochs.values()], [each.teacher.norms[number]] * 2
                marks.append(Line(f"{module}, student", at, ours, group=module))
                marks.append(Line(f"{module}, teacher", ends, level, group=module, dashed=True, markers=False))
            panels.append(Panel(each.name, "epochs", "mean spectral norm", marks, counted=True))
        return Figure("over_training", f"Norms of modules over training, {self.split}", panels, "Dashed: the teacher's.")


def _as_map(run: Measured, tap: str, feature: Tensor) -> Tensor:
    """A map (N, C, H, W); a vector is one of a single place."""
    if feature.ndim == 2:
        return feature[:, :, None, None]
    if feature.ndim != 4:
        raise CapabilityError(
            f"analyses.lipschitz compares feature maps (channels, height, width) and vectors, but tap {tap!r} of the run "
            f"{run.name} has shape {tuple(feature.shape[1:])}; choose other taps by analyses.lipschitz.taps."
        )
    return feature
