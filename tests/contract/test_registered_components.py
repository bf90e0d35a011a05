"""The contracts of models, teachers, data sources and tasks on what is built in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save_file

from kdzoo import registry, testing
from kdzoo.recipe.build import build
from kdzoo.testing.tiny import STUDENT, TEACHER, first_window, registered

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
BASE = {"use": "tiny_cnn", "widths": [4, 8]}
MODELS: dict[str, dict[str, Any]] = {
    "class_maps": {"base": BASE},
    "separate_heads": {"body": BASE},
    "expanded": {"base": BASE, "width": 12, "copies": 2},
    "torchvision": {"name": "resnet18"},
    "timm": {"name": "resnet18"},
}
# Graph models answer on a graph, transformers on tokens: the tests of their families run them.
OF_OTHER_TASKS = {"dan", "gcn", "gat", "entity_table", "hf", "student_from_teacher", "bert"}
TRAINED = {"student": {"use": "sgd", "lr": 0.02}, "teacher": {"use": "sgd", "lr": 0.01}}


def _model(name: str) -> type:
    return type(f"TestModel_{name}", (testing.ModelContract,), {"model": name, "settings": MODELS.get(name, {})})


globals().update({f"TestModel_{name}": _model(name) for name in registered("models") if name not in OF_OTHER_TASKS})


class TestFrozen(testing.TeacherContract):
    teacher = "frozen"


class TestCached(testing.TeacherContract):
    teacher = "cached"
    recipe: ClassVar[Any] = {"task": {"data": "digits", "train_size": 44, "validation": 1000, "crop": 0, "flip": False}}

    @pytest.fixture(autouse=True)
    def store(self, tmp_path: Path) -> None:
        type(self).settings = {"model": TEACHER, "folder": str(tmp_path)}


class TestTrainable(testing.TeacherContract):
    teacher = "trainable"
    method = "prokt"
    recipe: ClassVar[Any] = {"optimizers": TRAINED}


class TestTrainMode(testing.TeacherContract):
    teacher = "train_mode"
    settings: ClassVar[Any] = {"model": {"use": "resnet8"}}

    def test_it_normalizes_by_the_batch_and_its_statistics_move_but_no_parameter(self) -> None:
        run = self.assembled()
        model = run.model("teacher")
        before = {name: value.clone() for name, value in model.state_dict().items()}
        frozen = model(first_window(run)[0].inputs)
        _, answer = self.answers(run)
        assert not torch.allclose(answer.rows.logits, frozen)
        assert not model.training
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert moved == {name for name in before if "running" in name or "num_batches" in name}


class TestEMA(testing.TeacherContract):
    teacher = "ema"
    settings: ClassVar[Any] = {}


class TestVirtual(testing.TeacherContract):
    teacher = "virtual"
    settings: ClassVar[Any] = {}


class TestRCO(testing.TeacherContract):
    teacher = "rco"

    @pytest.fixture(autouse=True)
    def anchors(self, tmp_path: Path) -> None:
        model = build("models", TEACHER, "model")(classes=10, channels=1, size=8)
        save_file(model.state_dict(), tmp_path / "anchor.safetensors")
        type(self).settings = {"model": TEACHER, "anchors": [str(tmp_path / "anchor.safetensors")]}


class TestKDSim(testing.TeacherContract):
    teacher = "kd_sim"


class TestPeers(testing.TeacherContract):
    teacher = "peers"
    settings: ClassVar[Any] = {}
    recipe: ClassVar[Any] = {"learners": {"other": STUDENT}}


class TestImageClassification(testing.TaskContract):
    name = "image_classification"
    task: ClassVar[Any] = {"data": "digits", "train_size": 44, "validation": 1000}
    student: ClassVar[Any] = STUDENT


def test_no_teacher_or_task_of_the_core_is_left_out() -> None:
    contracts = [found for name, found in globals().items() if name.startswith("Test")]
    for kind, attribute in (("teachers", "teacher"), ("tasks", "name")):
        core = {name for name in registered(kind) if registry.discover(kind)[name].target.startswith(f"kdzoo.{kind}")}
        assert core <= {getattr(contract, attribute, None) for contract in contracts}
