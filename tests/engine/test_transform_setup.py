"""A transform may look at the run before training, and a method that reads a head says so in its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kdzoo import Method, Needs, Pair, RunContext, Step, Transform, registry, term
from kdzoo.engine.assemble import assemble
from kdzoo.errors import PluginError
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window


class PerClass(Transform):
    """Logits divided by a scale for each class, whose number only the run knows."""

    def setup(self, run: RunContext, method: Method) -> None:
        self.owner = method.label
        self.register_buffer("scale", torch.full((run.classes,), 2.0))

    def forward(self, pair: Pair, step: Step) -> Pair:
        return replace(pair, student=replace(pair.student, scores=pair.student.logits / self.get_buffer("scale")))


class Broken(Transform):
    def setup(self, run: RunContext, method: Method) -> None:
        raise KeyError("x")


class TwoHeads(ImageClassification):
    """The logits and, as a head of rows, their negation."""

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        output = super().forward(model, batch, view)
        return replace(output, heads={"negated": Rows(-output.rows.logits, batch.target)})


class Reading(Method):
    def needs(self) -> Needs:
        return Needs()

    @term()
    def reading(self, step: Step) -> Tensor:
        self.seen = (step.student.reads, step.student.detach().reads)
        return step.student.rows.logits.square().mean()


registry.register("transforms", "testing_per_class", PerClass)
registry.register("transforms", "testing_broken", Broken)
registry.register("tasks", "testing_two_heads", TwoHeads)
registry.register("methods", "testing_reading", Reading)


def test_a_transform_is_set_up_with_the_run_and_its_method() -> None:
    with tiny_run(tiny_recipe("kd", {"logits": ["testing_per_class"]})) as run:
        (transform,) = run.methods["kd"].logits
        assert transform.owner == "kd"
        assert transform.get_buffer("scale").shape == (10,)
        step = run.step(first_window(run)[0])
        assert torch.isfinite(run.total(step))


def test_a_transform_whose_setup_fails_is_named() -> None:
    recipe = tiny_recipe("kd", {"logits": ["testing_broken"]})
    with pytest.raises(PluginError, match=r"methods\.kd\.logits\[0\]: setup failed with KeyError"):
        assemble(recipe.settings)


@pytest.mark.parametrize("head", ["negated", None])
def test_outputs_say_which_head_a_method_reads(head: str | None) -> None:
    task = {"use": "testing_two_heads", "data": "digits", "train_size": 44, "validation": 1000}
    with tiny_run(tiny_recipe("testing_reading", {"reads": head}, recipe={"task": task})) as run:
        run.total(run.step(first_window(run)[0]))
        assert run.methods["testing_reading"].seen == (head, head)
