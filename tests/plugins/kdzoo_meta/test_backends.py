"""The meta-gradient: one JVP and one backward give what differentiating through the inner step gives, and that is right."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdzoo_meta.quiz import draw
from meta_cases import LOSSES, NETS, assert_same, meta_gradient, objective
from torch import Tensor
from torch.func import functional_call

from kdzoo.engine.run import Run
from kdzoo.protocol.outputs import Batch

pytestmark = pytest.mark.usefixtures("float64")

INNER: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"use": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"use": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    "adamw": {"use": "adamw", "lr": 0.01, "weight_decay": 0.1},
}
QUICK = [
    *itertools.product(NETS, LOSSES, ["sgd"], [None], [1]),
    *itertools.product(NETS, ["features"], INNER, [None, 0.01], [1, 3]),
]
FULL = [case for case in itertools.product(NETS, LOSSES, INNER, [None, 0.01], [1, 3]) if case not in QUICK]


def by_backend(backend: str, nets: str, losses: str, inner: str, clip: float | None, window: int) -> dict[str, Tensor]:
    settings = {"backend": backend, "window": window, "inner": "sgd" if inner == "sgd" else "student", "inner_clip": clip}
    optimizers = {"student": INNER[inner] or "sgd", "teacher": "sgd"}
    with objective(nets, losses, settings, optimizers=optimizers) as (run, batches):
        warm(run, batches[0])
        return meta_gradient(run, batches)


def warm(run: Run, batch: Batch) -> None:
    """Two steps of the student, so that its optimizer has momentum and moments."""
    for _ in range(2):
        total, _ = run.objective(batch)
        run.optimize(run.first, total)


def check(case: tuple[str, str, str, float | None, int]) -> None:
    assert_same(by_backend("jvp", *case), by_backend("double_backward", *case), 1e-12)


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_jvp_equals_double_backward(case: tuple[str, str, str, float | None, int]) -> None:
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", FULL, ids=str)
def test_jvp_equals_double_backward_everywhere(case: tuple[str, str, str, float | None, int]) -> None:
    check(case)


@pytest.mark.parametrize("nets", ["mlp", "transformer"])
def test_jvp_equals_double_backward_under_dropout(nets: str) -> None:
    """The masks of the first pass return in the second."""
    student = {**NETS[nets][0], "dropout": 0.3}
    found = []
    for backend in ("jvp", "double_backward"):
        with objective(nets, "features", {"backend": backend, "window": 2}, student=student) as (run, batches):
            found.append(meta_gradient(run, batches))
    assert_same(*found, 1e-12)


# -- against the definition ------------------------------------------------------------------------------------------


def quiz_loss_after_learning(run: Run, window: list[Batch], quiz: Batch, rate: float) -> Tensor:
    """Plain torch: SGD steps on CE + 9 KL at temperature 3, then the labels' loss on the quiz."""
    student, teacher = run.student, run.model("teacher")
    theta = dict(student.named_parameters())
    for batch in window:
        with torch.no_grad():
            p = (teacher(batch.inputs) / 3).softmax(1)
        s = functional_call(student, theta, batch.inputs)
        loss = F.cross_entropy(s, batch.target) + 9 * F.kl_div((s / 3).log_softmax(1), p, reduction="batchmean")
        slopes = torch.autograd.grad(loss, list(theta.values()))
        theta = {name: (v - rate * g).detach().requires_grad_() for (name, v), g in zip(theta.items(), slopes, strict=True)}
    return F.cross_entropy(functional_call(student, theta, quiz.inputs), quiz.target).detach()


@pytest.mark.parametrize("backend", ["jvp", "double_backward"])
@pytest.mark.parametrize(("nets", "window"), [("mlp", 1), ("mlp", 3), ("transformer", 1), ("transformer", 2)])
def test_the_meta_gradient_is_the_slope_of_the_quiz_loss(nets: str, window: int, backend: str) -> None:
    """Central differences over single weights of the teacher, without any of the code under test."""
    h, rate = 1e-5, 0.3
    with objective(nets, "kl", {"backend": backend, "window": window, "inner_lr": rate}) as (run, batches):
        found = meta_gradient(run, batches)
        ((quiz, _),) = draw(run, "metadistil", batches[0], size=17, augment=True)
        slopes, ours = [], []
        for name, parameter in run.model("teacher").named_parameters():
            flat = parameter.detach().view(-1)
            for place in range(0, flat.numel(), 1 + flat.numel() // 4):
                values, before = [], flat[place].item()
                for step in (h, -h):
                    flat[place] = before + step
                    values.append(quiz_loss_after_learning(run, batches, quiz, rate))
                flat[place] = before
                slopes.append((values[0] - values[1]) / (2 * h))
                ours.append(found[name].view(-1)[place])
    slope, our = torch.stack(slopes), torch.stack(ours)
    assert (our - slope).abs().max() < 1e-6 * slope.abs().max()


# -- micro-batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["jvp", "double_backward"])
@pytest.mark.parametrize("parts", [3, 6])
def test_micro_batches_of_batch_and_quiz_change_nothing(parts: int, backend: str) -> None:
    found = []
    for accumulate in (1, parts):
        train = {"epochs": 1, "batch_size": 12, "accumulate": accumulate}
        with objective("mlp", "features", {"backend": backend, "inner_clip": 0.01}, train=train) as (run, batches):
            found.append(meta_gradient(run, batches))
    assert_same(found[1], found[0], 1e-12)


def test_the_whole_quiz_set_comes_in_pieces_and_is_one_large_quiz() -> None:
    found = []
    for size in (0, 30):
        with objective("mlp", "kl", {"quiz_batch": size}) as (run, batches):
            assert run.task.size("quiz") == 30
            assert len(draw(run, "metadistil", batches[0], size=size, augment=True)) == (1 if size else 3)
            found.append(meta_gradient(run, batches))
    assert_same(*found, 1e-12)


# -- approximations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nets", ["mlp", "transformer"])
def test_finite_differences_agree_on_smooth_networks(nets: str) -> None:
    exact, near = (by_backend(backend, nets, "kl", "sgd", None, 2) for backend in ("jvp", "fd_logit"))
    assert_same(near, exact, 1e-3)


def relative_error(near: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> float:
    gap = torch.stack([(near[name] - exact[name]).norm() for name in exact]).norm()
    return float(gap / torch.stack([g.norm() for g in exact.values()]).norm())


def test_without_look_ahead_the_error_halves_with_the_inner_rate() -> None:
    errors = []
    for rate in (0.02, 0.01, 0.005):
        found = []
        for look_ahead in (True, False):
            with objective("mlp", "kl", {"inner_lr": rate, "look_ahead": look_ahead}) as (run, batches):
                found.append(meta_gradient(run, batches))
        errors.append(relative_error(found[1], found[0]))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("inner", INNER)
def test_without_look_ahead_equals_the_whole_at_a_vanishing_rate(inner: str) -> None:
    """AdamW's way back needs the inner gradient even then."""
    optimizer = {**(INNER[inner] or {"use": "sgd"}), "lr": 1e-7}
    found = []
    for look_ahead in (True, False):
        settings = {"look_ahead": look_ahead, "inner": "student"}
        with objective("mlp", "kl", settings, optimizers={"student": optimizer, "teacher": "sgd"}) as (run, batches):
            warm(run, batches[0])
            found.append(meta_gradient(run, batches))
    assert_same(found[1], found[0], 1e-4)


def test_an_inner_rate_of_zero_gives_exactly_zero() -> None:
    with objective("mlp", "features", {"inner_lr": 0.0}) as (run, batches):
        assert all((g == 0).all() for g in meta_gradient(run, batches).values())


def test_the_meta_gradient_is_proportional_to_a_small_inner_rate_unless_normalized() -> None:
    found = {}
    for rate, normalize in itertools.product((1e-4, 1e-5), (False, True)):
        with objective("mlp", "kl", {"inner_lr": rate, "normalize_meta_grad": normalize}) as (run, batches):
            found[rate, normalize] = meta_gradient(run, batches)
    assert_same(found[1e-4, False], {n: 10 * g for n, g in found[1e-5, False].items()}, 1e-3)
    assert_same(found[1e-4, True], found[1e-5, True], 1e-3)
    assert_same(found[1e-4, True], {n: 1e4 * g for n, g in found[1e-4, False].items()}, 1e-12)


@pytest.mark.parametrize("inner", ["sgd", "adamw"])
def test_a_recomputed_teacher_gives_the_same(inner: str) -> None:
    found = []
    for recompute in (False, True):
        settings = {"recompute": recompute, "inner": "sgd" if inner == "sgd" else "student", "window": 2}
        with objective("batchnorm", "features", settings, optimizers={"student": INNER[inner] or "sgd", "teacher": "sgd"}) as (
            run,
            batches,
        ):
            found.append(meta_gradient(run, batches))
    assert_same(found[1], found[0], 1e-12)


def test_a_forward_shared_with_the_real_step_gives_the_same_without_dropout() -> None:
    found = []
    for share in (False, True):
        with objective("batchnorm", "features", {"share_forward": share}) as (run, batches):
            found.append(meta_gradient(run, batches))
    assert_same(found[1], found[0], 1e-12)
