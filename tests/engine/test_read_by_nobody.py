"""What a recipe says and nobody would read is refused before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from kdzoo.engine.assemble import assemble
from kdzoo.engine.components import make
from kdzoo.errors import RecipeError
from kdzoo.testing.laws.helpers import train_run
from kdzoo.testing.tiny import TEACHER, tiny_recipe

FROZEN = {"use": "frozen", "model": TEACHER}
OPTIMIZERS = {"student": "sgd", "teacher": "sgd"}
SCHEDULES = {"optimizers.teacher.lr": "cosine"}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "an optimizer of a frozen teacher": ("kd", {}, {"optimizers": OPTIMIZERS}, "optimizers.teacher is read by nobody"),
    "an optimizer of an average": (
        "kd",
        {},
        {"optimizers": OPTIMIZERS, "teacher": {"use": "ema"}},
        "optimizers.teacher is read by nobody",
    ),
    "a schedule of its rate": ("kd", {}, {"schedules": SCHEDULES}, "there is no optimizers.teacher"),
    "a teacher of a method without one": (
        "hard_label",
        {"teacher": "teacher"},
        {"teacher": FROZEN},
        "methods.hard_label.teacher is read by nobody",
    ),
    "logits of a method that compares features": (
        "rkd",
        {"logits": ["standardize"]},
        {},
        "methods.rkd.logits is read by nobody",
    ),
    "logits of a method that compares class maps": (
        "cat_kd",
        {"logits": ["standardize"]},
        {},
        "methods.cat_kd.logits is read by nobody",
    ),
    "targets of a method that compares features": (
        "fitnets",
        {"targets": ["noisy_teacher"]},
        {},
        "methods.fitnets.targets is read by nobody",
    ),
    "a teacher's logits where there is no teacher": (
        "hard_label",
        {"targets": ["probability_shift"]},
        {},
        "methods.hard_label.targets[0] is read by nobody",
    ),
    "labels among the logits": ("hard_label", {"logits": ["smooth"]}, {}, "methods.hard_label.logits[0] is read by nobody"),
    "a transform of a method without terms": (
        "quiz_holdout",
        {"targets": ["smooth"]},
        {},
        "methods.quiz_holdout.targets is read by nobody",
    ),
    "a head of a task without heads": (
        "kd",
        {"reads": "coarse"},
        {},
        "methods.kd.reads: the task has no head 'coarse'",
    ),
    "targets of one": ("rkd", {"targets": ["smooth"]}, {}, "methods.rkd.targets is read by nobody"),
    "logits of a method without terms": (
        "quiz_holdout",
        {"logits": ["standardize"]},
        {},
        "quiz_holdout.logits is read by nobody",
    ),
    "a head of one that compares features": ("rkd", {"reads": "fine"}, {}, "methods.rkd.reads is read by nobody"),
    "a head that the task has not": ("kd", {"reads": "fine"}, {}, "methods.kd.reads: the task has no head 'fine'"),
    "the best epoch of a file": ("kd", {}, {"teacher": {**FROZEN, "weights": "best"}}, "teachers.teacher.weights best is of"),
    "a momentum that forgets nothing": (
        "hard_label",
        {},
        {"optimizers": {"student": {"use": "sgd", "momentum": 2}}},
        "optimizers.student.momentum must be at least 0 and below 1, got 2",
    ),
    "a decay that turns weights around": (
        "hard_label",
        {},
        {"optimizers": {"student": {"use": "adamw", "lr": 2, "weight_decay": 0.5}}},
        "optimizers.student.weight_decay times lr must be below 1",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_check_refuses_it_with_its_place(case: str) -> None:
    method, settings, recipe, sentence = CASES[case]
    written = tiny_recipe(method, settings, recipe={"teacher": FROZEN, **recipe})
    with pytest.raises(RecipeError) as error:
        make(written.settings)
    assert sentence in str(error.value)


def test_patience_without_a_validation_split_is_refused() -> None:
    task = {"data": "digits", "train_size": 44, "validation": 0, "crop": 1}
    written = tiny_recipe("hard_label", recipe={"task": task, "train": {"epochs": 2, "patience": 1}})
    with pytest.raises(RecipeError, match=r"^train\.patience stops a run on validation"):
        assemble(written.settings)


def test_a_schedule_cannot_take_a_momentum_to_one() -> None:
    schedules = {"optimizers.student.momentum": {"use": "constant", "value": 1}}
    written = tiny_recipe("hard_label", recipe={"schedules": schedules})
    with pytest.raises(RecipeError, match=r"below 1"):
        train_run(assemble(written.settings), written)
