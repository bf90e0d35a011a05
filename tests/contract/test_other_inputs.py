"""The laws hold on tasks whose inputs are mappings, and whose rows are no samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.tasks.meters import ClassificationMeter
from kdzoo.testing import MethodContract


class Mapped(ImageClassification):
    """Inputs are mappings of tensors."""

    def _inputs(self, pixels: Tensor) -> Any:
        return {"pixels": super()._inputs(pixels), "mean": pixels.float().mean((1, 2, 3))}

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        return Output(Rows(model(batch.view(view)["pixels"]), batch.target))

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """All models of these tests have the same classes."""


class RowMeter(ClassificationMeter):
    """Counts rows, where the labels of the batch are those of samples."""

    def update(self, output: Output, batch: Batch) -> None:
        assert output.rows.target is not None
        self.logits.append(output.rows.logits)
        self.target.append(output.rows.target)


class Uneven(Mapped):
    """One to three rows a sample, by its index."""

    def meter(self, split: str) -> RowMeter:
        return RowMeter()

    def repeats(self, batch: Batch) -> Tensor:
        assert batch.index is not None
        return 1 + batch.index % 3

    def counts(self, batch: Batch) -> dict[str, float]:
        return dict.fromkeys(("rows", "labels"), int(self.repeats(batch).sum()))

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        samples = super().forward(model, batch, view).rows
        repeats = self.repeats(batch)
        assert samples.target is not None
        return Output(Rows(samples.logits.repeat_interleave(repeats, 0), samples.target.repeat_interleave(repeats, 0)))


registry.register("tasks", "testing_mapped", Mapped)
registry.register("tasks", "testing_uneven", Uneven)
DATA = {"data": "digits", "train_size": 44, "validation": 1000, "crop": 1}


class TestKDOnMappings(MethodContract):
    method = "kd"
    recipe: ClassVar[Any] = {"task": {"use": "testing_mapped", **DATA}}


class TestLabelsOnUnevenRows(MethodContract):
    method = "hard_label"
    recipe: ClassVar[Any] = {"task": {"use": "testing_uneven", **DATA}}
    # The fixture counts its rows on the host.
    reads_back = True


def test_rows_are_no_samples_there() -> None:
    batch = Batch(inputs=None, size=3, index=torch.tensor([0, 1, 2]))
    assert Uneven.counts(Uneven.__new__(Uneven), batch)["rows"] == 6
