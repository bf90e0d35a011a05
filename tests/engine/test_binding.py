"""Schedules bound to numbers of a run: inadmissible values end it with a sentence."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from kdzoo.engine.schedule_binding import Binding, bind
from kdzoo.errors import RecipeError
from kdzoo.protocol.outputs import Progress
from kdzoo.schedules import Constant, Linear, Schedule
from kdzoo.testing.tiny import tiny_recipe, tiny_run


class Broken(Schedule):
    def value(self, base: float, progress: Progress) -> float:
        return math.nan


@pytest.mark.parametrize(
    ("path", "schedule", "words"),
    [
        ("methods.kd.temperature", Linear(end=-1.0), "temperature must be > 0, got -1"),
        ("methods.kd.temperature", Linear(end=0.0), "temperature must be > 0, got 0"),
        ("optimizers.student.lr", Linear(end=-0.1), "lr must be at least 0, got -0.1"),
        ("optimizers.student.weight_decay", Constant(value=-1.0), "weight_decay must be at least 0, got -1"),
        ("teachers.teacher.momentum", Constant(value=-0.5), "momentum must be at least 0 and below 1, got -0.5"),
        ("methods.kd.weights.kd", Broken(), "kd must be a finite number, got nan"),
    ],
)
def test_an_inadmissible_value_is_refused_with_the_schedules_path(path: str, schedule: Schedule, words: str) -> None:
    put: list[float] = []
    with pytest.raises(RecipeError) as error:
        Binding(path, schedule, 1.0, put.append).apply(Progress(10, 10, 0, 5))
    assert str(error.value).startswith(f"schedules.{path} reaches an inadmissible value at epoch 10, step 50: {words}")
    assert put == []


def test_a_weight_may_be_negative_and_a_rate_may_be_zero() -> None:
    put: list[float] = []
    for path, value in {"methods.kd.weights.kd": -1.0, "optimizers.student.lr": 0.0}.items():
        Binding(path, Constant(value=value), 1.0, put.append).apply(Progress(0, 1, 0, 1))
    assert put == [-1.0, 0.0]


def test_a_bound_schedule_moves_every_group_of_an_optimizer() -> None:
    with tiny_run(tiny_recipe("kd")) as run:
        (bound,) = bind(run, {"optimizers.student.lr": Constant(value=0.25)})
        bound.apply(run.progress)
        assert {group["lr"] for group in run.optimizers["student"].param_groups} == {0.25}


@pytest.mark.parametrize(
    ("method", "settings", "path", "value", "words"),
    [
        ("ps_kd", {}, "methods.ps_kd.alpha", 1.5, "alpha must be between 0 and 1, got 1.5"),
        ("at", {}, "methods.at.power", 0.0, "power must be > 0, got 0"),
        ("kd", {"logits": ["standardize"]}, "methods.kd.logits[0].eps", 0.0, "eps must be > 0, got 0"),
    ],
)
def test_a_constructors_own_range_holds_for_a_schedule_too(
    method: str, settings: dict[str, Any], path: str, value: float, words: str
) -> None:
    with tiny_run(tiny_recipe(method, settings)) as run:
        (bound,) = bind(run, {path: Constant(value=value)})
        with pytest.raises(RecipeError, match=re.escape(words)):
            bound.apply(run.progress)
