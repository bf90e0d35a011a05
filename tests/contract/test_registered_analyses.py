"""The contract of analyses on all that are built in, and that it catches wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from kdzoo import registry
from kdzoo.protocol.analysis import Analysis, Findings, Measured, Wants
from kdzoo.protocol.figures import Figure, Line, Panel
from kdzoo.testing import AnalysisContract
from kdzoo.testing.tiny import registered

SETTINGS: dict[str, dict[str, Any]] = {}


def _contract(name: str) -> type:
    return type(f"TestAnalysis_{name}", (AnalysisContract,), {"analysis": name, "settings": SETTINGS.get(name, {})})


globals().update({f"TestAnalysis_{name}": _contract(name) for name in registered("analyses")})


class Sound(Analysis):
    """The mean largest logit."""

    def wants(self) -> Wants:
        return Wants()

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        means = {run.name: run.student.splits["test"].logits.max(1).values.double().mean().item() for run in runs}
        panel = Panel("Means", "run", "largest logit", [Line("mean", range(len(means)), list(means.values()))])
        return Findings(means, figures=[Figure("means", "Means", [panel])])


class Greedy(Sound):
    """Wants what it does not read."""

    def wants(self) -> Wants:
        return Wants(teacher=True)


class Ordered(Sound):
    """Depends on which sample is first."""

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        return Findings({run.name: run.student.splits["test"].logits[0, 0].item() for run in runs})


class Changing(Sound):
    """Sorts in place."""

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        found = super().analyze(runs)
        for run in runs:
            run.student.splits["test"].logits.mul_(2.0)
        return found


class Moody(Sound):
    """Draws lots."""

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        return Findings({run.name: torch.rand(()).item() for run in runs})


class Silent(Sound):
    """A figure without titles."""

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        return Findings({"a": 1}, figures=[Figure("bare", "", [Panel("", "", "", [Line("", [0, 1], [0, 1])])])])


LAWS = tuple(name for name in dir(AnalysisContract) if name.startswith("test_"))
CAUGHT = {
    Greedy: "test_it_reads_all_that_it_declares",
    Ordered: "test_the_order_of_samples_does_not_matter",
    Changing: "test_it_is_pure",
    Moody: "test_it_is_pure",
    Silent: "test_its_figures_say_what_they_show",
}


@pytest.fixture
def contract() -> type[AnalysisContract]:
    return type("Laws", (AnalysisContract,), {"analysis": "under_test"})


@pytest.mark.parametrize("law", LAWS)
def test_a_sound_analysis_keeps_every_law(law: str, contract: type[AnalysisContract]) -> None:
    registry.register("analyses", "under_test", Sound)
    getattr(contract(), law)()


@pytest.mark.parametrize(("analysis", "law"), CAUGHT.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_wrong_analysis_is_caught(analysis: type, law: str, contract: type[AnalysisContract]) -> None:
    registry.register("analyses", "under_test", analysis)
    with pytest.raises(AssertionError):
        getattr(contract(), law)()
