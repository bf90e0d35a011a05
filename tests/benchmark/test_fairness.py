"""Whatever setting of training, data or optimizer the rows of a bench do not share is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark.plan.bench_plan import make_plan
from kdzoo.benchmark.report.fairness import warnings
from kdzoo.benchmark.report.records import Records


def said(recipe: dict[str, Any]) -> list[str]:
    return warnings(Records(Path(), make_plan(recipe, []).described(), [], []))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"train": {"precision": "bf16"}}, "train.precision: fp32 for most, bf16 for dist"),
        ({"train": {"clip": 1.0}}, "train.clip: None for most, 1.0 for dist"),
        ({"task": {"label_noise": 0.2}}, "task.label_noise: 0.0 for most, 0.2 for dist"),
        ({"optimizers": {"student": {"lr": 0.3}}}, "optimizers.student.lr: 0.1 for most, 0.3 for dist"),
        ({"student": "tiny_cnn"}, "student.use: linear for most, tiny_cnn for dist"),
        (
            {"schedules": {"optimizers.student.lr": {"use": "linear", "end": 0.01}}},
            "schedules.optimizers.student.lr.use: absent for most, linear for dist",
        ),
    ],
)
def test_what_a_row_changes_beside_its_method(change: dict[str, Any], sentence: str, tiny: dict[str, Any]) -> None:
    assert said(tiny) == []
    tiny["optimizers"] = {"student": {"lr": 0.1}}
    tiny["bench"]["methods"]["dist"] |= change
    assert f"The rows differ in {sentence}." in said(tiny)


def test_a_larger_student_of_the_same_family_is_another_one(tiny: dict[str, Any]) -> None:
    tiny["student"] = {"use": "mlp", "hidden": [8]}
    tiny["bench"]["methods"]["dist"]["student"] = {"hidden": [16]}
    assert said(tiny) == ["The rows differ in student.hidden[0]: 8 for most, 16 for dist."]


def test_methods_and_teachers_are_what_is_compared(tiny: dict[str, Any]) -> None:
    tiny["bench"]["methods"]["ema"] = {"teacher": {"use": "ema"}, "methods": {"hard_label": {}, "mean_teacher": {}}}
    assert said(tiny) == []
