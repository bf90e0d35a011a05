"""What inputs are normalized by is said, and a teacher that knows others gets them as it knows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdzoo.engine.launch import launch
from kdzoo.engine.run_identity import identify
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.export import deployed, export
from kdzoo.recipe.load import Recipe
from kdzoo.teachers.normalization import renormalized
from kdzoo.testing import first_window, tiny_recipe, tiny_run

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
SHORT = {"epochs": 1, "batch_size": 22}


def tensors(**further: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 200, (60, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(60) % 4
    parts = {"train_images": images[:40], "train_labels": labels[:40], "test_images": images[40:], "test_labels": labels[40:]}
    return {"data": {"use": "tensors", **parts, **further}, "validation": 0}


def recipe(out: Path | str = "runs", *, data: Mapping[str, Any] | None = None, **sections: Any) -> Recipe:
    return tiny_recipe("kd", out=out, recipe={"task": data or tensors(), "train": SHORT, **sections})


class Seeing(nn.Module):
    """Remembers what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


def test_the_run_says_what_is_applied_to_own_tensors_and_writes_it_down(tmp_path: Path) -> None:
    said: list[str] = []
    result = launch(recipe(tmp_path), tell=said.append)
    (sentence,) = [each for each in said if "normalized" in each]
    data = tensors()["data"]["train_images"].double() / 255
    mean, sd = data.mean((0, 2, 3)), data.std((0, 2, 3), correction=0)
    numbers = [", ".join(f"{value:.4g}" for value in values.tolist()) for values in (mean, sd)]
    assert f"mean {numbers[0]}, sd {numbers[1]}, measured on the training images" in sentence
    assert "teacher.mean" in sentence
    assert result.values["data"]["mean"] == pytest.approx(mean.tolist())


def test_statistics_that_the_recipe_gives_are_said_to_be(tmp_path: Path) -> None:
    said: list[str] = []
    launch(recipe(tmp_path, data=tensors(mean=[0.5] * 3, std=[0.25] * 3)), tell=said.append)
    assert any("mean 0.5, 0.5, 0.5, sd 0.25, 0.25, 0.25, as the recipe gives them" in sentence for sentence in said)


def test_an_exported_model_says_it_too(tmp_path: Path) -> None:
    result = launch(tiny_recipe("hard_label", out=tmp_path, recipe={"train": SHORT}))
    export(deployed(result.folder), tmp_path / "out")
    card = json.loads((tmp_path / "out" / "model.json").read_text())
    assert {"mean", "std"} <= card["data"].keys()
    assert "Images are normalized by (pixel - mean) / sd" in card["inputs"][0]


def test_a_teacher_sees_images_by_its_own_mean_and_sd() -> None:
    own = Seeing()
    spec = {"use": "frozen", "model": own, "mean": [0.1, 0.2, 0.3], "sd": [0.5, 1.0, 2.0]}
    with tiny_run(recipe(teacher=spec, student={"use": "tiny_cnn", "widths": [4]})) as run:
        batch = first_window(run)[0]
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in run.task.preprocessing().values())
        pixels = batch.inputs * std + mean
        expected = own((pixels - torch.tensor(spec["mean"]).view(-1, 1, 1)) / torch.tensor(spec["sd"]).view(-1, 1, 1))
        found = run.answer("teacher", batch).rows.logits
        assert run.teachers["teacher"].remarks() == (
            "Teacher 'teacher' gets images normalized by its own mean 0.1, 0.2, 0.3 and sd 0.5, 1, 2.",
        )
    torch.testing.assert_close(found, expected)
    assert not own._forward_pre_hooks, "the user's own module stays as it was"


def test_the_statistics_of_the_task_change_nothing_and_are_part_of_the_identity() -> None:
    given = tensors(mean=[0.5] * 3, std=[0.25] * 3)
    own = Seeing()
    same = {"use": "frozen", "model": own, "mean": [0.5] * 3, "sd": [0.25] * 3}
    with tiny_run(recipe(data=given, teacher=same)) as run:
        batch = first_window(run)[0]
        torch.testing.assert_close(run.answer("teacher", batch).rows.logits, own(batch.inputs))
    plain = {"use": "frozen", "model": own}
    assert identify(recipe(data=given, teacher=same).settings) != identify(recipe(data=given, teacher=plain).settings)


def test_a_teacher_from_a_recipe_gets_what_it_was_trained_on(tmp_path: Path) -> None:
    inner = {
        "task": tensors(mean=[0.0] * 3, std=[3.0] * 3),
        "student": {"use": "tiny_cnn", "widths": [6]},
        "methods": {"hard_label": {}},
        "train": SHORT,
    }
    said: list[str] = []
    result = launch(recipe(tmp_path, teacher={"use": "frozen", "recipe": inner}), tell=said.append)
    (stored,) = (tmp_path / "teachers").iterdir()
    alone = json.loads((stored / "result.json").read_text())["test"]["last"]
    assert result.values["teachers"]["teacher"]["test"] == pytest.approx(alone)
    assert any(s.startswith("Inputs are renormalized for the teacher") and "sd 3, 3, 3" in s for s in said)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mean": [0.5] * 3}, "mean and sd belong together"),
        ({"mean": [0.5] * 3, "sd": [0.5, 0.5, 0.0]}, "above 0"),
        ({"mean": [0.5], "sd": [0.5]}, "has 1 and sd 1 values for images of 3 channels"),
    ],
)
def test_what_is_no_mean_and_sd_is_refused(given: Mapping[str, Any], sentence: str) -> None:
    spec = {"use": "frozen", "model": {"use": "tiny_cnn", "widths": [4]}, **given}
    with pytest.raises(RecipeError, match=sentence), tiny_run(recipe(teacher=spec)):
        pass


def test_a_task_without_such_inputs_refuses_them() -> None:
    with pytest.raises(CapabilityError, match="are for tasks that normalize their inputs"):
        renormalized(Seeing(), {}, [0.5], [0.5], "teachers.teacher")
