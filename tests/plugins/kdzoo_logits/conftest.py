"""Steps made by hand, so that a method's terms can be tested without a run."""

from types import SimpleNamespace

import pytest
import torch
from kdzoo_logits.cs_kd import CSKD
from kdzoo_logits.dot import DOT
from kdzoo_logits.hard_distillation import HardDistillation
from kdzoo_logits.mean_teacher import MeanTeacher
from kdzoo_logits.noisy_teacher import NoisyTeacher
from kdzoo_logits.probability_shift import ProbabilityShift
from kdzoo_logits.skd import SKD

from kdzoo import registry
from kdzoo.functional.labels import cross_entropy
from kdzoo.outputs import Batch, Output, Progress, Rows, Step
from kdzoo.random import Streams
from kdzoo.registry.entries import LOCAL

PLUGINS = {
    "methods": {"cs_kd": CSKD, "hard_distillation": HardDistillation, "mean_teacher": MeanTeacher, "skd": SKD},
    "transforms": {"noisy_teacher": NoisyTeacher, "probability_shift": ProbabilityShift},
    "optimizers": {"dot": DOT},
}
PENDING = {kind: {n: p for n, p in named.items() if n not in registry.discover(kind)} for kind, named in PLUGINS.items()}
"""Plugins that are tested without being installed under their names."""


@pytest.fixture(autouse=True)
def registered():
    """Those plugins under their names for the length of a test."""
    before = dict(LOCAL)
    for kind, named in PENDING.items():
        for name, plugin in named.items():
            registry.register(kind, name, plugin)
    yield
    LOCAL.clear()
    LOCAL.update(before)


def _step(
    student, teacher=None, target=None, *, weight=None, peers=(), epoch=0, epochs=10, index=None, views=None, features=None
):
    return Step(
        batch=Batch(inputs=None, size=len(student), index=index, whole=len(student)),
        learner="student",
        student=Output(Rows(student, target, weight), features=features or {}),
        teachers={} if teacher is None else {"teacher": Output(Rows(teacher, target))},
        peers={f"peer{i}": Output(Rows(peer)) for i, peer in enumerate(peers)},
        progress=Progress(epoch, epochs, 0, 1),
        stage="main",
        streams=Streams(0),
        supervise=lambda output: cross_entropy(output.rows.logits, output.rows.target, weight=output.rows.weight),
        views=views or {},
        label="mine",
    )


@pytest.fixture
def make_step():
    return _step


@pytest.fixture
def rows():
    """Student logits, teacher logits and labels: (6, 5), (6, 5), (6,)."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(6, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    return student, teacher, torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.fixture
def make_run():
    """A stand-in for a run whose task has this many classes and samples."""

    def make(classes=5, samples=8, labeled=True):
        def forward(role, batch, *, commit):
            return Output(Rows(torch.zeros(2, classes), torch.zeros(2, dtype=torch.int64) if labeled else None))

        return SimpleNamespace(
            learners={"student": None},
            task=SimpleNamespace(example=lambda: None),
            forward=forward,
            samples=samples,
            gather=lambda tensor: tensor,
        )

    return make
