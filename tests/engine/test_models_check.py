"""What a constructor refuses is found by the check, before data are read or a teacher is trained, and costs next to nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from kdzoo import registry
from kdzoo.engine.components import make
from kdzoo.engine.models_check import sketch
from kdzoo.errors import KdzooError, MissingError, RecipeError
from kdzoo.protocol.outputs import Batch, Output
from kdzoo.recipe.build import build
from kdzoo.recipe.load import load
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.testing.tiny import TEACHER, tiny_recipe

GIVEN = "(from the given mapping)"
DEEP = {"use": "resnet", "depth": 21}
NESTED = {
    "task": {"use": "image_classification", "data": "digits"},
    "student": TEACHER,
    "methods": {"hard_label": {}},
}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a depth": ({"student": DEEP}, f"student {GIVEN}: a resnet of depth 21 does not exist"),
    "a width": ({"student": {"use": "resnet", "widths": [16, 16, -3, 4]}}, "student.widths must be at least 1, got -3"),
    "a depth of a learner": ({"learners": {"second": DEEP}}, f"learners.second {GIVEN}: a resnet of depth 21"),
    "a depth inside": (
        {"student": {"use": "separate_heads", "body": DEEP}},
        f"student.body {GIVEN}: a resnet of depth 21",
    ),
    "a depth of a teacher": (
        {"teacher": {"use": "frozen", "model": DEEP}},
        f"teachers.teacher.model {GIVEN}: a resnet of depth 21",
    ),
    "a size that the data declare": ({"student": "lenet5"}, "student.size must be at least 12"),
    "too many modules": ({"student": {"use": "resnet", "depth": 6 * 10**8 + 2}}, "student would be made of more than"),
    "too many numbers": ({"student": {"use": "mlp", "hidden": [10**9, 10**9]}}, "student "),
    "a teacher's recipe": (
        {"teacher": {"use": "frozen", "recipe": {**NESTED, "student": DEEP}}},
        f"teachers.teacher.recipe: student {GIVEN}: a resnet of depth 21",
    ),
    "a term in a teacher's recipe": (
        {"teacher": {"use": "frozen", "recipe": {**NESTED, "methods": {"hard_label": {"weights": {"no": 1}}}}}},
        "teachers.teacher.recipe: methods.hard_label.weights.no: there is no such term",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_model_that_cannot_be_is_refused_with_its_place(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdzoo.engine.models_check.MOST_MODULES", 500)
    recipe, sentence = WRONG[case]
    written = tiny_recipe("hard_label", recipe={"teacher": {"use": "frozen", "model": TEACHER}, **recipe})
    with pytest.raises(RecipeError) as error:
        make(written.settings, written.provenance)
    assert sentence in str(error.value)


@pytest.mark.parametrize("teacher", [{"model": TEACHER}, {"recipe": NESTED}], ids=["a model", "a recipe"])
@pytest.mark.parametrize("setting", ["student_tap", "teacher_tap"])
def test_a_tap_that_is_not_there_is_refused(setting: str, teacher: dict[str, Any]) -> None:
    recipe = {"teacher": {"use": "frozen", **teacher}}
    written = tiny_recipe("fitnets", {setting: "stage9"}, recipe=recipe)
    with pytest.raises(RecipeError, match=r"methods\.fitnets on (student|teacher): .* called 'stage9'; did you mean 'stage"):
        make(written.settings)
    make(tiny_recipe("fitnets", recipe=recipe).settings)


def test_a_model_that_computes_with_its_weights_is_made_with_them() -> None:
    make(tiny_recipe("cat_kd", recipe={"student": {"use": "class_maps", "base": TEACHER}}).settings)


def test_a_check_leaves_no_trace_in_random_generators() -> None:
    before = torch.get_rng_state()
    make(tiny_recipe("kd", recipe={"student": {"use": "mlp", "hidden": [17]}}).settings)
    assert torch.equal(before, torch.get_rng_state())


class Picky(nn.Module):
    """A stranger's model, which needs a width above 3 and breaks at 7."""

    kdzoo_kind = "models"

    def __init__(self, *, classes: int, width: int = 4) -> None:
        super().__init__()
        if width < 4:
            raise ValueError(f"width must be at least 4, got {width}")
        self.layer = nn.Linear(width, classes // (width - 7))


@pytest.mark.parametrize(("width", "said"), [(3, "student.width must be at least 4, got 3"), (7, "ZeroDivisionError")])
def test_a_strangers_model_is_checked_too(width: int, said: str) -> None:
    registry.register("models", "picky", Picky)
    with pytest.raises(KdzooError) as error:
        make(tiny_recipe("hard_label", recipe={"student": {"use": "picky", "width": width}}).settings)
    assert said in str(error.value)
    assert error.value.exit_code == 2
    assert str(error.value).startswith("student")


FILES: dict[str, dict[str, Any]] = {
    "teachers.teacher.checkpoint": {"teacher": {"use": "frozen", "model": TEACHER, "checkpoint": "gone.pt"}},
    "teachers.teacher.anchors[1]": {"teacher": {"use": "rco", "model": TEACHER, "anchors": ["here.pt", "gone.pt"]}},
    "student.weights": {"student": {"use": "torchvision", "name": "resnet18", "weights": "gone.pt"}},
    "task.data.folder": {"task": {"data": {"use": "cifar10", "folder": "gone"}}},
}


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_a_recipe_names_must_be_there(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.pt").touch()
    written = tiny_recipe("hard_label", recipe=FILES[path])
    with pytest.raises(MissingError, match=r"there is no (file|folder) gone") as error:
        make(written.settings, written.provenance)
    assert str(error.value).startswith(path)


def test_a_folder_of_images_that_is_named_in_full_must_be_there(tmp_path: Path) -> None:
    data = {"use": "image_folder", "folder": str(tmp_path / "gone")}
    with pytest.raises(RecipeError, match=r"^task\.data: There is no folder"):
        make(load({**NESTED, "task": {"use": "image_classification", "data": data}}).settings)


class WithHeads(ImageClassification):
    """A task of somebody else's: it builds models in a way of its own, and its output has another head."""

    def build(self, model: Any) -> nn.Module:
        return cast(nn.Module, model(classes=self.set.classes, channels=1, size=8, answers=3))

    def forward(self, model: Any, batch: Batch, view: str) -> Output:
        output = super().forward(model, batch, view)
        return replace(output, heads={"coarse": output.rows})


def test_what_a_task_says_of_its_hooks_is_not_believed_of_a_subclass_that_defines_them_anew() -> None:
    registry.register("tasks", "with_heads", WithHeads)
    task = {"use": "with_heads", "data": "digits", "crop": 0}
    written = tiny_recipe("kd", {"reads": "coarse"}, recipe={"task": task, "student": {"use": "tiny_cnn"}})
    assert make(written.settings).task.heads == frozenset()
    written = tiny_recipe("hard_label", recipe={"task": task, "student": {"use": "tiny_cnn", "widths": [4]}})
    assert sketch(make(written.settings).task, {}, build("models", {"use": "tiny_cnn"}, "student")) is None
