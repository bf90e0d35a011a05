"""The contracts of models, teachers, data sources and tasks on what is built in."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from kdzoo import testing
from kdzoo.testing.tiny import STUDENT, registered

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
BASE = {"use": "tiny_cnn", "widths": [4, 8]}
MODELS: dict[str, dict[str, Any]] = {
    "class_maps": {"base": BASE},
    "separate_heads": {"body": BASE},
    "expanded": {"base": BASE, "width": 12, "copies": 2},
    "torchvision": {"name": "resnet18"},
}
# Graph models answer on a graph: `tests/plugins/kdzoo_graph` runs them.
OF_GRAPHS = {"dan", "gcn", "gat", "entity_table"}
TRAINED = {"student": {"use": "sgd", "lr": 0.02}, "teacher": {"use": "sgd", "lr": 0.01}}


def _model(name: str) -> type:
    return type(f"TestModel_{name}", (testing.ModelContract,), {"model": name, "settings": MODELS.get(name, {})})


globals().update({f"TestModel_{name}": _model(name) for name in registered("models") if name not in OF_GRAPHS})


class TestFrozen(testing.TeacherContract):
    teacher = "frozen"


class TestTrainable(testing.TeacherContract):
    teacher = "trainable"
    method = "prokt"
    recipe: ClassVar[Any] = {"optimizers": TRAINED}


class TestEMA(testing.TeacherContract):
    teacher = "ema"
    settings: ClassVar[Any] = {}


class TestVirtual(testing.TeacherContract):
    teacher = "virtual"
    settings: ClassVar[Any] = {}


class TestPeers(testing.TeacherContract):
    teacher = "peers"
    settings: ClassVar[Any] = {}
    recipe: ClassVar[Any] = {"learners": {"other": STUDENT}}


class TestDigits(testing.DataContract):
    data = "digits"


class TestImageClassification(testing.TaskContract):
    task: ClassVar[Any] = {"data": "digits", "train_size": 44, "validation": 1000}
    student: ClassVar[Any] = STUDENT
