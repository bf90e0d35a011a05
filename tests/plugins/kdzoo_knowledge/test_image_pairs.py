"""Pairs of images of which only the sum is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch

from kdzoo.protocol.outputs import MAIN, Rows
from kdzoo.testing import TaskContract, tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

TASK: dict[str, Any] = {"use": "image_pairs", "data": "digits", "train_size": 60, "validation": 1000}
STUDENT: dict[str, Any] = {"use": "tiny_cnn", "widths": [4]}
RECIPE: dict[str, Any] = {"task": TASK, "student": STUDENT}


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
class TestImagePairs(TaskContract):
    task: ClassVar[Any] = TASK
    student: ClassVar[Any] = STUDENT

    def recipe(self, task: Mapping[str, Any] | None = None) -> Any:
        """With the rule, the one thing that teaches here."""
        train = {"epochs": 1, "batch_size": self.batch_size}
        return tiny_recipe("semantic_loss", recipe={"task": dict(task or self.task), "student": self.student, "train": train})

    def test_the_supervised_loss_is_a_finite_scalar_with_a_gradient(self) -> None:
        """It has none: no image is labeled in training."""
        with tiny_run(self.recipe()) as run:
            output = run.forward("student", first_window(run)[0])
            loss = run.task.supervised(output)
            assert loss == 0
            assert torch.autograd.grad(loss, output.rows.logits)[0].abs().sum() == 0


def test_the_loss_is_that_of_all_pairs_of_digits_with_the_sum() -> None:
    with tiny_run(tiny_recipe("semantic_loss", recipe=RECIPE)) as run:
        batch = first_window(run)[0]
        step = run.view(run.step(batch), run.methods["semantic_loss"])
        found = run.methods["semantic_loss"].semantic(step)  # type: ignore[operator]
        p = step.student.rows.logits.softmax(1).view(-1, 2, 10)
        total = batch.target.sum(1)  # type: ignore[union-attr]
        joint = p[:, 0, :, None] * p[:, 1, None, :]
        sums = torch.arange(10)[:, None] + torch.arange(10)
        expected = -torch.stack([pair[sums == number].sum() for pair, number in zip(joint, total, strict=True)]).log().mean()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def totals(*, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the sums of four pairs, and the sums."""
    with tiny_run(tiny_recipe("semantic_loss", recipe=RECIPE)) as run, torch.no_grad():
        batch = next(iter(run.task.batches("train", [torch.arange(4)], epoch=0, train=train)))
        assert batch.target is not None
        rows = run.task.forward(run.student, batch, MAIN).heads["total"]
        assert isinstance(rows, Rows)
        return rows.logits, batch.target.sum(1)


def test_the_sum_is_told_in_training_and_not_in_the_test() -> None:
    logits, total = totals(train=True)
    assert torch.equal(logits.argmax(1), total)
    assert (totals(train=False)[0] == 0).all()
