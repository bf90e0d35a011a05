"""A plugin that fails, or gives something else than it promises, is named in a sentence; the cause stays behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdzoo import Batch, Method, Needs, Output, RunContext, Stage, Step, registry, term
from kdzoo.engine.launch import launch
from kdzoo.errors import PluginError
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.teachers.frozen import Frozen
from kdzoo.testing import tiny_recipe


class Fine(Method):
    @term()
    def loss(self, step: Step) -> Tensor:
        return step.student.rows.logits.square().mean()


class RaisesInTerm(Fine):
    @term()
    def loss(self, step: Step) -> Tensor:
        raise KeyError("spam")


class RaisesInSetup(Fine):
    def setup(self, run: RunContext) -> None:
        _ = {}["eggs"]


class RaisesInPrepare(Fine):
    def prepare(self, batch: Batch, run: RunContext) -> Batch:
        raise IndexError("spam")


class RaisesInUpdate(Fine):
    def update_teacher(self, window: Sequence[Batch], run: RunContext) -> None:
        raise AttributeError("spam")


class RaisesAfter(Fine):
    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        raise TypeError("spam")


class RaisesInConstructor(Fine):
    def __init__(self) -> None:
        super().__init__()
        raise ZeroDivisionError("spam")


class NeedsNothingAtAll(Fine):
    def needs(self) -> Needs:
        return None  # type: ignore[return-value]


class StagesAreNames(Fine):
    def stages(self) -> Sequence[Stage]:
        return ["warm"]  # type: ignore[list-item]


class PreparesNothing(Fine):
    def prepare(self, batch: Batch, run: RunContext) -> Batch:
        return None  # type: ignore[return-value]


class DeploysAState(Fine):
    def deploy(self, run: RunContext) -> nn.Module | None:
        return dict(run.student.state_dict())  # type: ignore[return-value]


METHODS = {
    RaisesInTerm: r"methods\.wrong: a term failed with KeyError: 'spam'",
    RaisesInSetup: r"methods\.wrong: setup failed with KeyError: 'eggs'",
    RaisesInPrepare: r"methods\.wrong: prepare failed with IndexError: spam",
    RaisesInUpdate: r"methods\.wrong: update_teacher failed with AttributeError: spam",
    RaisesAfter: r"methods\.wrong: after_step failed with TypeError: spam",
    RaisesInConstructor: r"methods\.wrong: RaisesInConstructor failed with ZeroDivisionError: spam",
    NeedsNothingAtAll: r"methods\.wrong: needs must return a Needs, got None",
    StagesAreNames: r"methods\.wrong: stages must return a Stage, got a str",
    PreparesNothing: r"methods\.wrong: prepare must return a Batch, got None",
    DeploysAState: r"methods\.wrong: deploy must return a Module, got a dict",
}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_a_method_is_named(method: type[Method], tmp_path: Path) -> None:
    registry.register("methods", "wrong", method)
    with pytest.raises(PluginError, match=METHODS[method]):
        launch(tiny_recipe("wrong", out=tmp_path))


class SaysNothing(Frozen):
    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        return torch.zeros(3)  # type: ignore[return-value]


class LosesItsModel(Frozen):
    def build(self, run: RunContext) -> None:
        raise RuntimeError("no model here")


@pytest.mark.parametrize(
    ("teacher", "sentence"),
    [
        (SaysNothing, r"teachers\.teacher: answer must return an Output, got a Tensor"),
        (LosesItsModel, r"teachers\.teacher: build failed with RuntimeError: no model here"),
    ],
)
@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_a_teacher_is_named(teacher: type[Frozen], sentence: str, tmp_path: Path) -> None:
    registry.register("teachers", "wrong", teacher)
    spec = {"use": "wrong", "model": {"use": "tiny_cnn", "widths": [4, 8]}}
    with pytest.raises(PluginError, match=sentence):
        launch(tiny_recipe("kd", out=tmp_path, recipe={"teacher": spec}))


class MetersNothing:
    def update(self, output: Output, batch: Batch) -> None: ...

    def result(self) -> dict[str, float]:
        return {"loss": 0.0}

    def arrays(self) -> dict[str, Tensor]:
        return {}


class WithoutItsMetric(ImageClassification):
    def meter(self, split: str) -> Any:
        return MetersNothing()


class ForwardsTensors(ImageClassification):
    def forward(self, model: Any, batch: Batch, view: str) -> Output:
        return model(batch.inputs)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (WithoutItsMetric, r"task: the meter's result must have the task's metric 'top1', it has loss"),
        (ForwardsTensors, r"task: forward must return an Output, got a Tensor"),
    ],
)
def test_a_task_is_named(task: type[ImageClassification], sentence: str, tmp_path: Path) -> None:
    registry.register("tasks", "wrong", task)
    data = {"use": "wrong", "data": "digits", "train_size": 44, "crop": 1}
    with pytest.raises(PluginError, match=sentence):
        launch(tiny_recipe("hard_label", out=tmp_path, recipe={"task": data}))


def test_a_model_is_named(tmp_path: Path) -> None:
    registry.register("models", "wrong", lambda *, classes: {"classes": classes})
    with pytest.raises(PluginError):
        launch(tiny_recipe("hard_label", out=tmp_path, recipe={"student": "wrong"}))


def test_an_optimizer_is_named(tmp_path: Path) -> None:
    class Forgetful:
        def __init__(self, *, lr: float = 0.1) -> None:
            self.lr = lr

        def build(self, parameters: Any) -> Any:
            return None

    registry.register("optimizers", "wrong", Forgetful)
    with pytest.raises(PluginError, match=r"optimizers\.student: build must return an Optimizer, got None"):
        launch(tiny_recipe("hard_label", out=tmp_path, recipe={"optimizers": {"student": "wrong"}}))
