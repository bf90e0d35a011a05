"""Methods in two stages: who trains when, and what stays exactly as it was."""

import pytest
import torch
from kdzoo_features.sskd import SSKD
from torch import Tensor, nn

from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.testing import first_window

from .conftest import NET, Running, frozen

SAME = {"student": NET, "teacher": frozen(NET)}
FSP = {"flow_epochs": 1, "student_taps": ["stages"], "teacher_taps": ["stages"]}
STAGED = {
    "fitnets": ("hint", {"hint_epochs": 1, "student_tap": "stage1", "teacher_tap": "stage1"}),
    "fsp": ("flow", FSP),
    "ab": ("boundary", {"boundary_epochs": 1, "student_taps": ["stage1.preact"], "teacher_taps": ["stage1.preact"]}),
}


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def only_first_stage(run: Run) -> StagePlan:
    """Train the run's first stage from its beginning and stop; the whole plan."""
    plan = StagePlan.of(run, 1, {})
    train(run, StagePlan(plan.stages[:1], plan.owners[:1], {}, plan.base), Feed(run), Observer(), Position())
    return plan


def terms(run: Run) -> set[str]:
    """The terms that one step of the current stage evaluates."""
    _, step = run.objective(first_window(run)[0])
    return {name for values in step.stash.values() for name in values if isinstance(name, str) and "." in name}


@pytest.mark.parametrize("method", STAGED)
def test_the_first_stage_has_its_own_term_alone_and_the_main_stage_the_others(method: str, running: Running) -> None:
    name, settings = STAGED[method]
    assert terms(running(method, settings, stage=0, **SAME)) == {f"{method}.{name}"}
    assert terms(running(method, settings, **SAME)) == {"hard_label.hard_label"}


@pytest.mark.parametrize("method", STAGED)
def test_the_first_stage_moves_the_student_but_not_its_classifier(method: str, running: Running) -> None:
    run = running(method, STAGED[method][1], **SAME)
    before = state(run.student)
    only_first_stage(run)
    moved = changed(before, run.student)
    assert any(name.endswith("weight") for name in moved)
    assert not {name for name in moved if name.startswith("fc")}


@pytest.mark.parametrize("method", ["fitnets", "ab"])
def test_layers_behind_the_hint_rest_in_the_first_stage(method: str, running: Running) -> None:
    run = running(method, STAGED[method][1], **SAME)
    before = state(run.student)
    only_first_stage(run)
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert all(name.startswith("body.0") or name.endswith(statistics) for name in changed(before, run.student))


@pytest.mark.parametrize("method", ["ft", "ft_attention"])
def test_the_paraphraser_trains_alone_and_then_rests(method: str, running: Running) -> None:
    run = running(method, {"paraphraser_epochs": 1})
    student, own = state(run.student), state(run.methods[method])
    plan = only_first_stage(run)
    assert not changed(student, run.student)
    assert {name.split(".")[0] for name in changed(own, run.methods[method])} == {"paraphraser"}
    paraphraser = state(run.methods[method].paraphraser)
    with plan.entered(run, 1):
        total, _ = run.objective(first_window(run)[0])
        run.optimize("student", total)
    assert not changed(paraphraser, run.methods[method].paraphraser)
    assert "translator.0.weight" in changed(own, run.methods[method])


def test_the_self_supervised_head_of_the_teacher_trains_alone_and_then_rests(running: Running) -> None:
    run = running("sskd", {"head_epochs": 1})
    student, own = state(run.student), state(run.methods["sskd"])
    plan = only_first_stage(run)
    assert not changed(student, run.student)
    assert {name.split(".")[0] for name in changed(own, run.methods["sskd"])} == {"teacher_head"}
    head = state(run.methods["sskd"].teacher_head)
    with plan.entered(run, 1):
        total, _ = run.objective(first_window(run)[0])
        run.optimize("student", total)
    assert not changed(head, run.methods["sskd"].teacher_head)


@pytest.mark.parametrize(
    ("method", "setting"),
    [("fitnets", "hint_epochs"), ("ab", "boundary_epochs"), ("ft", "paraphraser_epochs"), ("sskd", "head_epochs")],
)
def test_a_first_stage_of_no_epochs_does_not_exist(method: str, setting: str, running: Running) -> None:
    assert len(StagePlan.of(running(method, {setting: 0}), 1, {}).stages) == 1


def test_the_rate_of_the_self_supervised_head_falls_after_a_half_and_three_quarters() -> None:
    assert [(stage.epochs, round(stage.lr or 0, 9)) for stage in SSKD().stages()] == [(30, 0.05), (15, 0.005), (15, 0.0005)]
