"""How far the meta-gradient is from the slope of what really happens, beside each method: the figures of docs/metadistil.md.

The teacher moves along random directions, the student takes its inner steps as training does, and the quiz is asked: nothing of
the code under test. What a term detaches is part of that slope and not of the meta-gradient.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdzoo_meta.quiz import draw
from meta_cases import NETS, meta_gradient, objective
from torch import Tensor

from kdzoo.engine.run import Run
from kdzoo.errors import KdzooError
from kdzoo.protocol.outputs import Batch
from kdzoo.testing.tiny import registered

pytestmark = pytest.mark.usefixtures("float64")

RATE, DIRECTIONS = 0.05, 8
REACHES = (1e-5, 1e-6, 1e-7)
"""Steps of the differences; at a kink of a ReLU between the ends of one, another is right."""
EXACT = 1e-4
CONSTANTS: dict[tuple[str, int], tuple[float, float]] = {
    ("wsld", 1): (0.01, 0.03),
    ("wsld", 2): (0.005, 0.03),
    ("london", 2): (0.00005, 0.002),
    ("kdsvd", 2): (0.15, 0.35),
    ("kdsvd_rows", 2): (0.005, 0.06),
    ("cs_kd", 2): (0.002, 0.01),
    ("kdcl", 2): (0.0005, 0.003),
    ("uskd", 2): (0.00005, 0.0003),
}
"""(method, window) -> between which the relative error is that its constants leave, beside `kd`."""


def quiz_after_learning(run: Run, window: list[Batch], quiz: Batch) -> float:
    """The labels' loss on the quiz, after plain steps of the student and the adapters, which are taken back."""
    parameters = list(run.trainable().values())
    start = [parameter.detach().clone() for parameter in parameters]
    for batch in window:
        for part in (batch, *batch.micros):
            part.answers.clear()
        slopes = torch.autograd.grad(run.objective(batch)[0], parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                if slope is not None:
                    parameter -= RATE * slope
    with torch.no_grad():
        loss = F.cross_entropy(run.forward("student", quiz, commit=False).rows.logits, quiz.target)
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(value)
    return float(loss)


def relative_error(name: str, window: int, **beside: dict[str, Any]) -> float:
    """Of slopes along random directions in the teacher's weights."""
    net = NETS["batchnorm"][1]
    sections = {"student": net, "teacher": {"use": "trainable", "model": net}, "methods": {**beside, name: {}}}
    with objective(settings={"window": window, "inner_lr": RATE}, **sections) as (run, batches):
        found = meta_gradient(run, batches)
        ((quiz, _),) = draw(run, "metadistil", batches[0], size=17, augment=True)
        weights = dict(run.model("teacher").named_parameters())
        generator, pairs = torch.Generator().manual_seed(1), []
        for _ in range(DIRECTIONS):
            way = {key: torch.randn(weight.shape, generator=generator) for key, weight in weights.items()}
            ours = sum(float((found[key] * way[key]).sum()) for key in found)
            ends = [[moved(run, weights, way, sign * far, batches, quiz) for sign in (1, -1)] for far in REACHES]
            slopes = [(there - back) / (2 * far) for (there, back), far in zip(ends, REACHES, strict=True)]
            pairs.append((ours, min(slopes, key=lambda slope: abs(slope - ours))))
    exact, measured = torch.tensor(pairs).T
    return float((exact - measured).norm() / measured.norm())


@torch.no_grad()
def moved(run: Run, weights: dict[str, Tensor], way: dict[str, Tensor], far: float, batches: list[Batch], quiz: Batch) -> float:
    """The quiz's loss where the teacher stands `far` along a direction."""
    for key, weight in weights.items():
        weight += far * way[key]
    with torch.enable_grad():
        loss = quiz_after_learning(run, batches, quiz)
    for key, weight in weights.items():
        weight -= far * way[key]
    return loss


QUICK = [("wsld", 1), ("dkd", 1), ("rkd", 2), ("kdsvd_rows", 2), ("london", 1), ("cs_kd", 2)]
# Those that have something to differentiate beside `kd` on images, and networks of one width.
METHODS = [name for name in registered("methods") if name not in {"kd", "hard_label", "metadistil"}]
ALL = [case for case in itertools.product(METHODS, (1, 2)) if case not in QUICK]


def check(name: str, window: int) -> None:
    try:
        error = relative_error(name, window, kd={})
    except KdzooError as refusal:
        pytest.skip(f"a mixture that cannot be: {refusal}")
    least, most = CONSTANTS.get((name, window), (0.0, EXACT))
    assert least <= error <= most


@pytest.mark.parametrize(("name", "window"), QUICK)
def test_the_meta_gradient_is_the_slope_but_for_what_is_detached(name: str, window: int) -> None:
    check(name, window)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "window"), ALL)
def test_beside_every_other_method_too(name: str, window: int) -> None:
    check(name, window)
