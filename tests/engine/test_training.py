"""What the loop computes, against the same thing written by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.recipe.build import build
from kdzoo.testing import first_window, tiny_recipe, tiny_run

MLP = {"use": "mlp", "hidden": [16]}
SECTIONS: dict[str, Any] = {"student": MLP, "teacher": {"use": "frozen", "model": {"use": "mlp", "hidden": [20]}}}


def trained(settings: Any) -> Run:
    run = assemble(settings)
    schedules: Any = {path: build("schedules", spec, path) for path, spec in settings["schedules"].items()}
    train(run, StagePlan.of(run, settings["train"]["epochs"], schedules), Feed(run), Observer(), Position())
    return run


def by_hand(settings: Any, *, clip: float | None = None) -> torch.nn.Module:
    """Hinton's KD in plain torch, on the engine's batches."""
    run = assemble(settings)
    student, teacher = copy.deepcopy(run.student), run.model("teacher")
    optimizer = torch.optim.SGD(student.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    for epoch in range(settings["train"]["epochs"]):
        for (batch,) in Feed(run).windows(epoch, start=0, size=1):
            logits, goal = student(batch.inputs), teacher(batch.inputs).detach()
            soft = F.kl_div(F.log_softmax(logits / 4, 1), F.softmax(goal / 4, 1), reduction="batchmean") * 16
            (F.cross_entropy(logits, batch.target) + soft).backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(student.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()
    return student


@pytest.mark.parametrize(("accumulate", "clip"), [(1, None), (3, None), (1, 0.1), (4, 0.1)])
def test_the_engine_equals_a_loop_written_by_hand(accumulate: int, clip: float | None) -> None:
    settings = {"epochs": 2, "batch_size": 12, "accumulate": accumulate, "clip": clip}
    recipe = tiny_recipe("kd", recipe={**SECTIONS, "train": settings}).settings
    expected, run = by_hand(recipe, clip=clip), trained(recipe)
    for ours, theirs in zip(run.student.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_scheduled_rate_reaches_the_optimizer() -> None:
    constant = {**SECTIONS, "optimizers": {"student": {"use": "sgd", "lr": 0.01}}}
    scheduled = {**SECTIONS, "schedules": {"optimizers.student.lr": {"use": "constant", "value": 0.01}}}
    a, b = (trained(tiny_recipe("kd", recipe=sections).settings).student for sections in (constant, scheduled))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_a_schedule_on_nothing_says_what_there_is() -> None:
    recipe = tiny_recipe("kd", recipe={"schedules": {"methods.kd.temprature": {"use": "constant", "value": 2.0}}})
    with pytest.raises(RecipeError, match=r"schedules\.methods\.kd\.temprature.*did you mean 'temperature'"):
        trained(recipe.settings)


def test_fitnets_trains_its_hint_first_and_then_only_its_logit_loss() -> None:
    run = assemble(tiny_recipe("fitnets").settings)
    plan = StagePlan.of(run, 1, {})
    assert plan.stages[0].name.split(".")[0] == "fitnets"
    with plan.entered(run, 0):
        assert run.weights_now["hard_label"] == {}
        assert any(run.weights_now["fitnets"].values())
    with plan.entered(run, len(plan.stages) - 1):
        assert run.weights_now["hard_label"] == {"hard_label": 1.0}


def test_the_ema_teacher_is_the_average_of_the_students_that_were() -> None:
    sections = {"student": MLP, "teacher": {"use": "ema", "momentum": 0.75}, "train": {"epochs": 1, "batch_size": 22}}
    settings = tiny_recipe("kd", recipe=sections).settings
    run = assemble(settings)
    average = [p.detach().clone() for p in run.student.parameters()]

    class Averaging(Observer):
        def window_done(self, run: Run, position: Position) -> None:
            for mean, parameter in zip(average, run.student.parameters(), strict=True):
                mean.mul_(0.75).add_(parameter.detach(), alpha=0.25)

    train(run, StagePlan.of(run, 1, {}), Feed(run), Averaging(), Position())
    for mean, parameter in zip(average, run.model("teacher").parameters(), strict=True):
        torch.testing.assert_close(parameter, mean)


def test_the_virtual_teacher_puts_its_mass_on_the_label() -> None:
    with tiny_run(tiny_recipe("kd", recipe={"teacher": {"use": "virtual", "correct": 0.9}})) as run:
        (batch,) = first_window(run)
        p = run.answer("teacher", batch).rows.logits.softmax(1)
    assert torch.allclose(p.sum(1), torch.ones(len(p)))
    assert torch.allclose(p.gather(1, batch.target[:, None]), torch.tensor(0.9))
    assert torch.allclose(p.min(1).values, torch.tensor(0.1 / 9))


def test_the_peers_teacher_is_the_mean_of_the_others() -> None:
    sections = {"learners": {"second": MLP, "third": MLP}, "teacher": {"use": "peers"}}
    with tiny_run(tiny_recipe("kd", recipe=sections)) as run:
        (batch,) = first_window(run)
        step = run.step(batch)
        mean = (step.peers["second"].rows.logits + step.peers["third"].rows.logits) / 2
    assert torch.equal(step.teachers["teacher"].rows.logits, mean)
    assert not torch.equal(step.peers["second"].rows.logits, step.peers["third"].rows.logits)


def test_prokt_with_no_rate_is_kd_from_a_frozen_teacher() -> None:
    still = {"student": MLP, "teacher": {"use": "trainable", "model": MLP}}
    sections = {
        **still,
        "optimizers": {"student": {"use": "sgd", "lr": 0.02}, "teacher": {"use": "sgd", "lr": 0.0, "weight_decay": 0.0}},
    }
    moved = trained(tiny_recipe("prokt", recipe=sections).settings)
    frozen = {**still, "teacher": {"use": "frozen", "model": MLP}}
    plain = trained(tiny_recipe("kd", {"temperature": 1.0}, recipe=frozen).settings)
    for p, q in zip(moved.student.parameters(), plain.student.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)


def test_prokt_brings_the_teacher_closer_to_the_student() -> None:
    with tiny_run(
        tiny_recipe("prokt", {"pull": 1.0}, recipe={"student": MLP, "train": {"epochs": 1, "batch_size": 44}})
    ) as run:
        (batch,) = first_window(run)
        method: Any = run.methods["prokt"]
        before = method.losses(run, "teacher", batch)[1].item()
        for _ in range(5):
            method.update_teacher([batch], run)
        assert method.losses(run, "teacher", batch)[1].item() < before


def test_prokt_asks_for_a_teacher_that_can_move() -> None:
    with pytest.raises(CapabilityError, match=r"methods\.prokt moves its teacher, but teacher 'teacher' stands still"):
        assemble(tiny_recipe("prokt", recipe={"teacher": {"use": "frozen", "model": MLP}}).settings)


def test_bf16_trains_to_finite_weights_close_to_fp32() -> None:
    full, half = (
        trained(tiny_recipe("kd", recipe={**SECTIONS, "train": {"epochs": 1, "batch_size": 12, "precision": name}}).settings)
        for name in ("fp32", "bf16")
    )
    for p, q in zip(full.student.parameters(), half.student.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0.1, atol=0.01)
