"""Runs that train together: each ends where it would have ended alone, bit for bit, whatever happens to the others."""

from __future__ import annotations

import builtins
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kdzoo import registry
from kdzoo.engine import cohort as cohorts
from kdzoo.engine.cohort import Cohort, Member, ground
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.engine.results import Result
from kdzoo.errors import CapabilityError, Interrupted, PluginError, RunFailed
from kdzoo.models.tiny import TinyCNN
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.recipe.load import Recipe
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.testing import tiny_recipe
from kdzoo.testing.laws.helpers import Killed, Killer, logged_losses
from kdzoo.testing.tiny import TEACHER

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
FROZEN = {"teacher": {"use": "frozen", "model": TEACHER}}
FOLLOWING = {"teachers": {"average": {"use": "ema", "momentum": 0.5}}}
ROWS: dict[str, dict[str, Any]] = {
    "kd": {},
    "at": {},  # other taps of the teacher
    "crd": {"negatives": 8},  # a memory bank, and a hook of its own after each step
    "sp": {},  # relates the samples of a batch
    "fitnets": {"hint_epochs": 1},  # a stage before the main one
    "dkd": {},  # learns from a moving average of its own student
}


def recipe(method: str, out: Path, settings: Mapping[str, Any] | None = None, **sections: Any) -> Recipe:
    own = FOLLOWING if method == "dkd" else FROZEN
    given = ROWS.get(method, {}) if settings is None else settings
    return tiny_recipe(method, given, out=out, recipe={**own, "train": {"epochs": 2, "batch_size": 12}, **sections})


def trained_together(*recipes: Recipe, **arguments: Any) -> list[Member]:
    members = [Member(made, Path(made.settings["runtime"]["out"]) / f"{number}") for number, made in enumerate(recipes)]
    Cohort(members, **arguments).train()
    return members


def assert_as_alone(member: Member, alone: Result) -> None:
    assert isinstance(member.ended, Result), member.ended
    a, b = load_file(alone.folder / DEPLOYED), load_file(member.folder / DEPLOYED)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert logged_losses(alone.folder) == logged_losses(member.folder)
    for key in ("test", "validation", "teachers", "parameters", "identity"):
        assert member.ended.values[key] == alone.values[key], key
    for key in ("samples", "teacher_forwards", "training_flops", "inference_flops"):
        assert member.ended.values["cost"][key] == alone.values["cost"][key], key


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a batch was made for training, and how often the teacher's network was asked about a batch in training."""
    found = {"batches": 0, "teacher": 0}
    batch, forward = ImageClassification._batch, TinyCNN.forward

    def counting_batch(self: Any, *arguments: Any) -> Batch:
        found["batches"] += arguments[-1]
        return batch(self, *arguments)

    def counting_forward(self: Any, inputs: torch.Tensor) -> Any:
        widths = [m.out_channels for m in self.modules() if isinstance(m, torch.nn.Conv2d)]
        found["teacher"] += widths == TEACHER["widths"] and len(inputs) in (8, 12)
        return forward(self, inputs)

    monkeypatch.setattr(ImageClassification, "_batch", counting_batch)
    monkeypatch.setattr(TinyCNN, "forward", counting_forward)
    return found


Stumble = Callable[[type[BaseException]], str]
"""Has a method fail with this error; its name."""


class Stumbling(Method):
    """Breaks in a step of its choice, once, where the environment says so: a class's own state counts in a run's identity."""

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def stumbling(self, step: Step) -> Tensor:
        if step.progress.step == 5 and (errors := getattr(builtins, "stumbles", [])):
            raise errors.pop()("nothing to divide by")
        return step.student.rows.logits.square().mean() + step.teacher.rows.logits.square().mean()


@pytest.fixture
def stumbling(monkeypatch: pytest.MonkeyPatch) -> Stumble:
    registry.register("methods", "stumbling", Stumbling)

    def with_(error: type[BaseException]) -> str:
        # Not in the environment or a global of this file, which would be part of the run's identity.
        monkeypatch.setattr(builtins, "stumbles", [error], raising=False)
        return "stumbling"

    return with_


def test_each_run_ends_as_it_would_alone_and_all_share_data_and_teacher(tmp_path: Path, counted: dict[str, int]) -> None:
    recipes = [recipe(method, tmp_path / "together") for method in ROWS]
    grounds = [found for made in recipes if (found := ground(made.settings)) is not None]
    assert len(grounds) == len(ROWS)
    assert all(one.meets(grounds) for one in grounds)
    members = trained_together(*recipes)
    stage_and_epochs = 1 + 2
    assert counted == {"batches": 4 * stage_and_epochs, "teacher": 4 * stage_and_epochs}
    for member, method in zip(members, ROWS, strict=True):
        assert_as_alone(member, launch(recipe(method, tmp_path / "alone")))


def test_runs_of_different_length_students_and_optimizers_share_a_source(tmp_path: Path) -> None:
    def made(out: Path) -> list[Recipe]:
        longer = {"train": {"epochs": 3, "batch_size": 12}, "optimizers": {"student": {"use": "adamw", "lr": 1e-3}}}
        wider = {"student": {"use": "tiny_cnn", "widths": [6, 12]}}
        return [recipe("kd", out), recipe("kd", out, **longer), recipe("kd", out, **wider)]

    for member, alone in zip(trained_together(*made(tmp_path / "together")), made(tmp_path / "alone"), strict=True):
        assert_as_alone(member, launch(alone))


def test_micro_batches_are_shared(tmp_path: Path) -> None:
    halves = {"train": {"epochs": 1, "batch_size": 12, "accumulate": 2}}
    members = trained_together(*(recipe(method, tmp_path / "together", **halves) for method in ("kd", "at")))
    for member, method in zip(members, ("kd", "at"), strict=True):
        assert_as_alone(member, launch(recipe(method, tmp_path / "alone", **halves)))


def test_a_run_that_fails_leaves_the_others_alone(tmp_path: Path, stumbling: Stumble) -> None:
    broken = recipe(stumbling(ZeroDivisionError), tmp_path / "together")
    hot = {"optimizers": {"student": {"use": "sgd", "lr": 1e20, "weight_decay": 0}}}
    members = trained_together(broken, recipe("at", tmp_path / "together", **hot), recipe("kd", tmp_path / "together"))
    assert isinstance(members[0].ended, PluginError)
    assert "nothing to divide by" in str(members[0].ended)
    assert isinstance(members[1].ended, RunFailed)
    assert "a loss is no longer a number" in str(members[1].ended)
    assert_as_alone(members[2], launch(recipe("kd", tmp_path / "alone")))


def test_a_run_that_cannot_begin_leaves_the_others_alone(tmp_path: Path) -> None:
    silent = recipe("fitnets", tmp_path / "together", {"hint_epochs": 1, "teacher_tap": "stage1[0]"})
    members = trained_together(silent, recipe("at", tmp_path / "together"))
    assert isinstance(members[0].ended, CapabilityError)
    assert_as_alone(members[1], launch(recipe("at", tmp_path / "alone")))


@pytest.mark.parametrize("records", [1, 5])
def test_a_run_that_was_interrupted_earlier_joins_again(records: int, tmp_path: Path, counted: dict[str, int]) -> None:
    recipes = [recipe(method, tmp_path / "together") for method in ("kd", "at", "sp")]
    for made in recipes:
        made.settings["runtime"]["checkpoint_every"] = 1
    with pytest.raises(Killed):
        launch(recipes[1], folder=tmp_path / "together" / "1", listeners=[Killer(records)])
    counted["batches"] = 0
    members = trained_together(*recipes)
    assert counted["batches"] <= 4 * 2 + 1, "it did not join"
    for member, method in zip(members, ("kd", "at", "sp"), strict=True):
        assert_as_alone(member, launch(recipe(method, tmp_path / "alone")))


def test_a_signal_ends_all_with_checkpoints_from_which_they_go_on(tmp_path: Path) -> None:
    seen: list[Any] = []

    def interrupt(record: Mapping[str, Any]) -> None:
        seen.append(record)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    def members(*listeners: Any) -> list[Member]:
        methods = ("kd", "at")
        return [Member(recipe(m, tmp_path / "together"), tmp_path / "together" / m, listeners) for m in methods]

    before = signal.getsignal(signal.SIGTERM)
    broken = members(interrupt)
    Cohort(broken).train()
    assert all(isinstance(member.ended, Interrupted) for member in broken)
    assert len(seen) <= 5
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = members()
    Cohort(resumed).train()
    for member in resumed:
        assert_as_alone(member, launch(recipe(member.folder.name, tmp_path / "alone")))


def test_what_is_finished_is_not_trained_again(tmp_path: Path) -> None:
    done = launch(recipe("kd", tmp_path / "together"), folder=tmp_path / "together" / "0")
    stamp = (done.folder / "result.json").stat().st_mtime_ns
    members = trained_together(recipe("kd", tmp_path / "together"), recipe("at", tmp_path / "together"))
    assert (done.folder / "result.json").stat().st_mtime_ns == stamp
    assert isinstance(members[0].ended, Result)
    assert members[0].ended.values["test"] == done.values["test"]


def test_where_memory_is_short_some_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = ("kd", "at", "sp")
    recipes = [recipe(method, tmp_path / "together") for method in methods]
    waves: list[int] = []
    monkeypatch.setattr(cohorts, "free", lambda device: 4 * 1400 * 4)  # room for a run and, being half spared, one more
    members = trained_together(*recipes, on_wave=lambda wave: waves.append(len(wave)))
    assert waves == [2, 1]
    for member, method in zip(members, methods, strict=True):
        assert_as_alone(member, launch(recipe(method, tmp_path / "alone")))


def test_a_run_that_finds_no_memory_is_tried_again_alone(tmp_path: Path, stumbling: Stumble) -> None:
    waves: list[int] = []
    recipes = [recipe(stumbling(MemoryError), tmp_path / "together"), recipe("kd", tmp_path / "together")]
    members = trained_together(*recipes, on_wave=lambda wave: waves.append(len(wave)))
    assert waves == [2, 1]
    for member, method in zip(members, ("stumbling", "kd"), strict=True):
        assert_as_alone(member, launch(recipe(method, tmp_path / "alone")))


OTHERS = {
    "another seed": {"seed": 1},
    "another batch size": {"train": {"epochs": 2, "batch_size": 11}},
    "another number format": {"train": {"epochs": 2, "batch_size": 12, "precision": "bf16"}},
    "another augmentation": {"task": {"data": "digits", "train_size": 44, "validation": 1000, "crop": 2}},
    "another teacher of that name": {"teacher": {"use": "frozen", "model": {"use": "tiny_cnn", "widths": [8, 12]}}},
    "a teacher of its own of that name": {"teacher": {"use": "ema"}},
}


@pytest.mark.parametrize("sections", OTHERS.values(), ids=OTHERS)
def test_runs_that_see_other_things_do_not_meet(sections: Mapping[str, Any], tmp_path: Path) -> None:
    one, other = ground(recipe("kd", tmp_path).settings), ground(recipe("kd", tmp_path, **sections).settings)
    assert one is not None
    assert other is not None
    assert not one.meets([other])
    assert not other.meets([one])


def test_who_has_no_teacher_meets_all_who_see_the_same(tmp_path: Path) -> None:
    labels = {"hard_label": recipe("kd", tmp_path).settings["methods"]["hard_label"]}
    one = ground(recipe("kd", tmp_path).settings)
    alone = ground(recipe("kd", tmp_path).settings | {"teachers": {}, "methods": labels})
    assert one is not None
    assert alone is not None
    assert one.meets([alone])


@pytest.mark.parametrize("method", ["metadistil", "prokt", "dlb"])
def test_who_moves_a_teacher_or_prepares_batches_stays_alone(method: str, tmp_path: Path) -> None:
    assert ground(tiny_recipe(method, out=tmp_path).settings) is None


def test_views_are_part_of_the_ground(tmp_path: Path) -> None:
    viewing = ground(tiny_recipe("mean_teacher", out=tmp_path, recipe=FROZEN).settings)
    plain = ground(tiny_recipe("kd", out=tmp_path, recipe=FROZEN).settings)
    assert viewing is not None
    assert plain is not None
    assert viewing.key != plain.key


def test_seconds_of_all_runs_add_up_to_what_the_cohort_took(tmp_path: Path) -> None:
    started = time.perf_counter()
    members = trained_together(*(recipe(method, tmp_path / "together") for method in ("kd", "at", "sp")))
    took = time.perf_counter() - started
    assert 0 < sum(m.ended.values["seconds"] for m in members if isinstance(m.ended, Result)) <= took + 0.03
