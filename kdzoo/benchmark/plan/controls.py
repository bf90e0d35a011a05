"""Rows that a comparison should have beside its methods, so that it can be told what a gain comes from.

Most are recipes in `recipes/_controls`. One is computed: the student alone, trained so long that it costs as many operations
as the bench's own recipe. A backward is taken at twice its forward, so with S and T the operations of a forward of the student
and of all teachers, the student alone costs 3 S a sample, the recipe 3 S + T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdzoo.benchmark.plan.rows import BARE_STUDENT
from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.recipe.find import available

FOLDER = "_controls/"
LONGER = "student longer"


def known() -> dict[str, str | None]:
    """Label of each control -> its recipe's name; None for the one that is computed."""
    names = [name for name in available() if name.startswith(FOLDER) and not name.removeprefix(FOLDER).startswith("_")]
    return {name.removeprefix(FOLDER).replace("_", " "): name for name in names} | {LONGER: None}


def rows(labels: Sequence[str], present: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each of these controls changes, without those that the bench has anyway; the longer one still lacks its epochs.

    Raises RecipeError for one that does not exist.
    """
    found: dict[str, dict[str, Any]] = {}
    for label in known() if list(labels) == ["all"] else labels:
        if label not in known():
            raise RecipeError(f"bench.controls: there is no control {label!r}; {did_you_mean(label, ['all', *known()])}")
        recipe = known()[label]
        if label not in present:
            found[label] = dict(BARE_STUDENT) if recipe is None else {"recipe": recipe}
    return found


def equal_epochs(settings: Mapping[str, Any]) -> int:
    """Epochs in which the student alone costs what these settings cost with their teachers, at least one more than they have.

    Raises RecipeError without a teacher.
    """
    import torch

    from kdzoo.engine.flops import FlopCounter
    from kdzoo.engine.launch import deployable, opened
    from kdzoo.protocol.outputs import MAIN
    from kdzoo.recipe.build import build

    task = opened(settings)
    example = task.example()

    def forward(module: torch.nn.Module) -> int:
        with torch.no_grad(), FlopCounter() as counter:
            task.forward(module.eval(), example, MAIN)
        return counter.total

    student = forward(task.build(build("models", settings["student"], "student")))  # type: ignore[arg-type]
    teachers = 0
    for name, spec in settings["teachers"].items():
        if spec.get("recipe") is not None:
            teachers += forward(deployable(spec["recipe"]))
        elif spec.get("model") is not None:
            teachers += forward(task.build(build("models", spec["model"], f"teachers.{name}.model")))  # type: ignore[arg-type]
    if not teachers:
        raise RecipeError(f"bench.controls: {LONGER!r} needs a recipe with a teacher, or there is nothing to make up for.")
    epochs = settings["train"]["epochs"]
    return max(epochs + 1, round(epochs * (3 * student + teachers) / (3 * student)))
