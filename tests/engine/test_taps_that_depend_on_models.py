"""A method may name its taps once the models are there."""

from __future__ import annotations

import pytest
from torch import Tensor

from kdzoo import Method, Needs, RunContext, Step, Taps, register, term
from kdzoo.errors import PluginError, RecipeError
from kdzoo.protocol.outputs import Batch
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window


class Deepest(Method):
    """Reads the last stage of whatever student there is."""

    asked: object = None

    def needs(self) -> Needs:
        return Needs(capabilities=frozenset({"features"}))

    def further_taps(self, run: RunContext) -> Taps:
        names: dict[str, str] = run.student.taps
        return Taps(student=[max(name for name in names if name.startswith("stage") and "." not in name)])

    @term()
    def size(self, step: Step) -> Tensor:
        (self.asked,) = step.student.features
        return step.student.features[str(self.asked)].square().mean()


class Wrong(Deepest):
    """Names what is not there."""

    def further_taps(self, run: RunContext) -> Taps:
        return Taps(student=["stage9"])


class Silent(Deepest):
    """Returns something else."""

    def further_taps(self, run: RunContext) -> Taps:
        return ["stage1"]  # type: ignore[return-value]


for kind in (Deepest, Wrong, Silent):
    register("methods", f"taps_{kind.__name__.lower()}", kind)


def test_the_tap_that_the_student_decides_is_there() -> None:
    with tiny_run(tiny_recipe("taps_deepest")) as run:
        _, step = run.objective(first_window(run)[0])
        assert run.shapes(run.methods["taps_deepest"]).keys() == {"stage2"}
        assert run.methods["taps_deepest"].asked == "stage2"
        assert not step.batch.views


def test_a_tap_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match=r"methods\.taps_wrong on student: .*'stage9'"), tiny_run(tiny_recipe("taps_wrong")):
        pass


def test_another_type_is_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match="further_taps must return a Taps, got a list"), tiny_run(tiny_recipe("taps_silent")):
        pass


class ByNumber(ImageClassification):
    """Hands out samples in order, and remembers how large its batches are."""

    told = 0

    def order(self, epoch: int, streams: object, *, batch_size: int) -> Tensor:
        ByNumber.told = batch_size
        return super().order(epoch, streams, batch_size=batch_size).sort().values  # type: ignore[arg-type]


register("tasks", "testing_by_number", ByNumber)


def test_a_tasks_order_is_told_the_batch_size() -> None:
    task = {"use": "testing_by_number", "data": "digits", "train_size": 44, "validation": 1000}
    with tiny_run(tiny_recipe("hard_label", recipe={"task": task})) as run:
        batch: Batch = first_window(run)[0]
        assert batch.index is not None
        assert batch.index.tolist() == list(range(12))
        assert ByNumber.told == 12
