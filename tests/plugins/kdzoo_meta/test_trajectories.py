"""What a meta step does to a run: nothing to the student, the right thing to the teacher, in the right order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from kdzoo_meta.gradients.jvp import jvp
from kdzoo_meta.metadistil import MetaDistil
from kdzoo_meta.quiz import draw
from meta_cases import LOSSES, NETS, meta_gradient, objective, recipe
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.protocol.outputs import MAIN, Step
from kdzoo.recipe.build import build
from kdzoo.recipe.load import Recipe
from kdzoo.testing import tiny_recipe

DROPOUT = {"mlp": 0.3, "transformer": 0.3, "batchnorm": 0.4}
ADAMW = {"use": "adamw", "lr": 0.01}


class Losses(Observer):
    """Every term of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def stepped(self, run: Run, place: Position, steps: list[Step]) -> None:  # type: ignore[override]
        self.values += [float(v) for micro in steps for v in micro.values.values()]


def trained(recipe: Recipe, *, epochs: int = 2) -> tuple[Run, list[float]]:
    run, losses = assemble(recipe.settings), Losses()
    schedules = {path: build("schedules", spec, path) for path, spec in recipe.settings["schedules"].items()}
    train(run, StagePlan.of(run, epochs, schedules), Feed(run), losses, Position())
    return run, losses.values


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Equal bit for bit, nested states included."""
    if a.keys() != b.keys():
        return False
    pairs = [(a[key], b[key]) for key in a]
    return all(
        torch.equal(x, y) if isinstance(x, Tensor) else same(x, y) if isinstance(x, Mapping) else x == y for x, y in pairs
    )


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.clone() if isinstance(v, Tensor) else copied(v) if isinstance(v, Mapping) else v for k, v in state.items()}


# -- no trace in the student -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"share_forward": True}, {"backend": "double_backward"}, {"window": 3}], ids=str)
@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("nets", NETS)
def test_a_teacher_rate_of_zero_is_plain_kd_on_the_same_samples(nets: str, forced: bool, settings: dict[str, Any]) -> None:
    """Bit for bit, whether meta steps are left out or computed, with dropout and BatchNorm."""
    student = {**NETS[nets][0], "dropout": DROPOUT[nets]}
    still = {"student": ADAMW, "teacher": {"use": "sgd", "lr": 0.0}}
    meta = recipe(nets, "features", {"warm_momentum": forced, **settings}, student=student, optimizers=still)
    kd = recipe(nets, "features", student=student).settings
    plain = tiny_recipe(
        "quiz_holdout",
        {"quiz": 0.3},
        recipe={
            "task": kd["task"],
            "student": student,
            "teacher": {"use": "frozen", "model": NETS[nets][1]},
            "methods": LOSSES["features"],
            "optimizers": {"student": ADAMW},
            "train": {"epochs": 2, "batch_size": 12},
        },
    )
    (a, ours), (b, theirs) = trained(meta), trained(plain)
    assert ours == theirs
    assert same(a.student.state_dict(), b.student.state_dict())
    method = a.methods["metadistil"]
    assert isinstance(method, MetaDistil)
    assert bool(method.monitor.start[1] > 0) is forced


@pytest.mark.filterwarnings("ignore::kdzoo_meta.preconditions.InexactWarning")
@pytest.mark.parametrize("settings", [{}, {"quiz_mode": "eval"}, {"pilot": False}, {"inner": "student"}], ids=str)
def test_a_meta_step_leaves_no_trace_in_the_student(settings: dict[str, Any]) -> None:
    student = {**NETS["batchnorm"][0], "dropout": 0.4}
    optimizers = {"student": ADAMW, "teacher": "sgd"}
    with objective("batchnorm", "features", settings, student=student, optimizers=optimizers) as (run, (batch,)):
        train_step(run, batch)  # so that there is state to spoil
        run.student.body[0][1].eval()  # a frozen BatchNorm inside a training network
        modes = [module.training for module in run.student.modules()]
        before = copied(run.student.state_dict()), copied(run.optimizers["student"].state_dict()["state"])
        adapter, random = copied(run.methods["meta_test_hints"].state_dict()), torch.get_rng_state()
        update_teacher(run, [batch])
        assert same(run.student.state_dict(), before[0])
        assert same(run.optimizers["student"].state_dict()["state"], before[1])
        assert same(run.methods["meta_test_hints"].state_dict(), adapter)
        assert torch.equal(torch.get_rng_state(), random)
        assert [module.training for module in run.student.modules()] == modes
        assert all(p.requires_grad and p.grad is None for p in run.trainable().values())


# -- the teacher -----------------------------------------------------------------------------------------------------


def test_only_the_teachers_parameters_move_and_all_of_them() -> None:
    with objective("batchnorm") as (run, batches):
        model = run.model("teacher")
        before = copied(model.state_dict())
        update_teacher(run, batches)
        buffers = {name for name, _ in model.named_buffers()}
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert moved == set(before) - buffers
        assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("backend", ["jvp", "double_backward"])
def test_frozen_parts_of_the_teacher_stay_frozen(backend: str) -> None:
    with objective("batchnorm", settings={"moves": ["fc.*", "body.1.*"], "backend": backend}) as (run, batches):
        before = copied(run.model("teacher").state_dict())
        update_teacher(run, batches)
        after = run.model("teacher").state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items() if name.startswith("body.0"))
        assert not torch.equal(after["fc.weight"], before["fc.weight"])
        assert not torch.equal(after["body.1.0.weight"], before["body.1.0.weight"])


def quiz_loss(run: Run, batch: Any) -> float:
    """Of the pilot student that the teacher as it is would make."""
    method = run.methods["metadistil"]
    assert isinstance(method, MetaDistil)
    about = method.objective(run)
    theta = {name: p.detach() for name, p in run.trainable().items()}
    gradient = about.gradient(about.parts(batch), theta)
    theta, _ = method.inner_step(run).step(theta, gradient, method.inner_step(run).states)
    quiz = draw(run, "metadistil", batch, size=17, augment=True)
    return sum(float(about.quiz_loss(micro, theta, share=share)) for micro, share in quiz)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("nets", ["mlp", "transformer"])
def test_a_small_meta_step_lowers_the_quiz_loss_as_much_as_promised(nets: str) -> None:
    """By the teacher's rate times the squared norm of the meta-gradient, to first order."""
    rate = 1e-2
    optimizers = {"student": "sgd", "teacher": {"use": "sgd", "lr": rate, "momentum": 0.0, "weight_decay": 0.0}}
    with objective(nets, "kl", {"inner_lr": 0.3}, optimizers=optimizers) as (run, (batch,)):
        promised = rate * sum(float(g.square().sum()) for g in meta_gradient(run, [batch]).values())
        before = quiz_loss(run, batch)
        update_teacher(run, [batch])
        assert before - quiz_loss(run, batch) == pytest.approx(promised, rel=0.01)
        assert promised > 0


# -- the order of things ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("float64")
def test_with_the_pilot_update_the_old_student_learns_from_the_new_teacher() -> None:
    with objective("mlp", "kl") as (run, (batch,)):
        start, old = copied(run.student.state_dict()), copied(run.model("teacher").state_dict())
        update_teacher(run, [batch])
        assert not same(run.model("teacher").state_dict(), old)
        assert same(run.student.state_dict(), start)
        total, _ = run.objective(batch)
        slopes = torch.autograd.grad(total, list(run.student.parameters()))
        expected = {
            name: p.detach() - 0.1 * (g + 5e-4 * p.detach())
            for (name, p), g in zip(run.student.named_parameters(), slopes, strict=True)
        }
        train_step(run, batch)
        for name, p in run.student.named_parameters():
            torch.testing.assert_close(p.detach(), expected[name], rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("window", [1, 2])
def test_without_it_the_student_keeps_the_pilots_step_and_the_teacher_moves_afterwards(window: int) -> None:
    settings = {"pilot": False, "inner": "student", "window": window}
    with objective("mlp", "kl", settings, optimizers={"student": ADAMW, "teacher": {"use": "sgd", "momentum": 0.0}}) as (
        run,
        batches,
    ):
        method = run.methods["metadistil"]
        assert isinstance(method, MetaDistil)
        old = copied(run.model("teacher").state_dict())
        about, inner = method.objective(run), method.inner_step(run)
        theta, states = {name: p.detach().clone() for name, p in run.trainable().items()}, inner.states
        for batch in batches:
            theta, states = inner.step(theta, about.gradient(about.parts(batch), theta), states)
        promised = meta_gradient(run, batches)
        update_teacher(run, batches)
        for batch in batches:
            assert same(run.model("teacher").state_dict(), old), "the teacher moved before the student's last step"
            train_step(run, batch)
        for name, p in run.trainable().items():
            torch.testing.assert_close(p.detach(), theta[name], rtol=1e-11, atol=1e-13)
        for name, p in run.model("teacher").named_parameters():
            expected = old[name] - 0.05 * (promised[name] + 5e-4 * old[name])
            torch.testing.assert_close(p.detach(), expected, rtol=1e-11, atol=1e-13)


def first_steps(settings: dict[str, Any], rate: float) -> list[dict[str, Tensor]]:
    """The student after each of two steps."""
    optimizers = {"student": {"use": "sgd", "lr": 0.1}, "teacher": {"use": "sgd", "lr": rate}}
    found = []
    run = assemble(recipe("mlp", "kl", settings, optimizers=optimizers).settings)
    with StagePlan.of(run, 1, {}).entered(run, 0):
        for window in itertools.islice(Feed(run).windows(0, start=0, size=1), 2):
            update_teacher(run, window)
            train_step(run, window[0])
            found.append(copied(run.student.state_dict()))
    return found


@pytest.mark.usefixtures("float64")
def test_pilot_and_ablation_differ_only_through_a_teacher_that_moves() -> None:
    moving = [first_steps({"pilot": pilot}, 5.0) for pilot in (True, False)]
    assert not same(moving[0][0], moving[1][0])
    still = [first_steps({"pilot": pilot, "warm_momentum": True}, 0.0) for pilot in (True, False)]
    assert same(still[0][0], still[1][0])
    assert same(still[0][0], moving[1][0])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [True] * 6),
        ({"every": 2}, [True, False, True, False, True, False]),
        ({"start_epoch": 1}, [False] * 3 + [True] * 3),
        ({"every": 2, "window": 2}, [True, False, True, False]),
    ],
    ids=str,
)
def test_meta_steps_come_when_they_are_due(settings: dict[str, Any], expected: list[bool]) -> None:
    seen: list[bool] = []
    run = assemble(recipe("mlp", "kl", settings, train={"epochs": 2, "batch_size": 24}).settings)
    method = run.methods["metadistil"]
    assert isinstance(method, MetaDistil)
    due: Callable[..., bool] = method.due
    method.due = lambda *given: (seen.append(due(*given)), seen[-1])[1]  # type: ignore[method-assign]
    train(run, StagePlan.of(run, 2, {}), Feed(run), Observer(), Position())
    assert seen == expected


def test_the_teachers_rate_follows_its_own_schedule_and_is_skipped_while_zero() -> None:
    schedule = {"optimizers.teacher.lr": {"use": "piecewise", "at": [1], "values": [0.05]}}
    optimizers = {"student": "sgd", "teacher": {"use": "sgd", "lr": 0.0}}
    settings = recipe("mlp", "kl", optimizers=optimizers, schedules=schedule)
    (one, _), (two, _) = trained(settings, epochs=1), trained(settings, epochs=2)
    untouched = assemble(settings.settings).model("teacher").state_dict()
    assert same(one.model("teacher").state_dict(), untouched)
    assert not same(two.model("teacher").state_dict(), untouched)


# -- dropout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nets", NETS)
def test_the_second_look_at_a_batch_has_the_masks_of_the_first(nets: str) -> None:
    student = {**NETS[nets][0], "dropout": DROPOUT[nets]}
    with objective(nets, student=student) as (run, (batch,)):
        about = run.methods["metadistil"].objective(run)
        part = about.parts(batch)[0]
        theta = {name: p.detach() for name, p in run.trainable().items()}
        with sdpa_kernel(SDPBackend.MATH):  # the kernel without forward mode rounds otherwise
            first = about.answers(part, theta)[MAIN].rows.logits
        torch.rand(3)
        again, _ = jvp(lambda p: about.answers(part, p), theta, theta)
        assert torch.equal(again[MAIN].rows.logits, first)
        with run.mode(training=False):
            assert not torch.equal(about.answers(part, theta)[MAIN].rows.logits, first)
