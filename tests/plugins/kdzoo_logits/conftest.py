"""Steps made by hand, so that a method's terms can be tested without a run."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.outputs import Batch, Output, Progress, Rows, Step
from kdzoo.random import Streams


def _step(
    student: Any,
    teacher: Any = None,
    target: Any = None,
    *,
    weight: Any = None,
    peers: tuple[Any, ...] = (),
    epoch: int = 0,
    epochs: int = 10,
    index: Any = None,
    views: Any = None,
    features: Any = None,
) -> Step:
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
def make_step() -> Any:
    return _step


@pytest.fixture
def rows() -> tuple[Any, Any, torch.Tensor]:
    """Student logits, teacher logits and labels: (6, 5), (6, 5), (6,)."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(6, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    return student, teacher, torch.tensor([0, 1, 2, 3, 4, 0])


@pytest.fixture
def make_run() -> Callable[..., Any]:
    """A stand-in for a run whose task has this many classes and samples."""

    def make(classes: int = 5, samples: int = 8, labeled: bool = True) -> SimpleNamespace:
        def forward(role: Any, batch: Any, *, commit: Any) -> Output:
            return Output(Rows(torch.zeros(2, classes), torch.zeros(2, dtype=torch.int64) if labeled else None))

        return SimpleNamespace(
            learners={"student": None},
            task=SimpleNamespace(example=lambda: None),
            forward=forward,
            samples=samples,
            gather=lambda tensor: tensor,
        )

    return make
