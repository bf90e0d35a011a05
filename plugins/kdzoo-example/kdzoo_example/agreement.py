"""Agreement: how often a student and its teacher give the same answer, right or wrong.

    agreement = mean_i [argmax z_s(i) = argmax z_t(i)]        z_s, z_t: (N, C)

It is not accuracy: a student may be right where its teacher is wrong, and wrong together with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from kdzoo import Analysis, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import Bars, Figure, Panel


def agreement(student: Tensor, teacher: Tensor) -> float:
    """The share of samples on which two models (N, C) have their largest logit in the same place."""
    return (student.argmax(1) == teacher.argmax(1)).double().mean().item()


class Agreement(Analysis):
    """How often a student gives the answer of its teacher.

    Args: split: of which samples.
    """

    def __init__(self, *, split: str = "test") -> None:
        self.split = split

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), teacher=True, capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        found = {run.name: agreement(*(each.splits[self.split].logits for each in (run.student, run.teaching))) for run in runs}
        bars = [Bars("agreement", [100 * value for value in found.values()])]
        panel = Panel(f"Same answer on {self.split}", "", "samples (%)", bars, list(found), y_range=(0, 100))
        return Findings(
            values={run: {"agreement": value} for run, value in found.items()},
            tables=[Table(f"Agreement with the teacher on {self.split}", ("run", "agreement"), list(found.items()))],
            figures=[Figure("agreement", "Agreement of student and teacher", [panel])],
        )
