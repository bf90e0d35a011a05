"""The laws of transforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch

from kdzoo import registry
from kdzoo.protocol.outputs import Pair
from kdzoo.testing.tiny import first_window, tiny_recipe, tiny_run


class TransformContract:
    """Inherit and set `transform`.

    Attributes:
        transform: the registered name.
        settings: its settings in the tests.
        slot: whether it changes `logits` or `targets`.
    """

    transform: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    slot: ClassVar[str] = "logits"

    def pair(self) -> tuple[Any, Pair, Any]:
        """The transform inside a run, what it gets there, and the step."""
        method = {self.slot: [{"use": self.transform, **self.settings}]}
        name = "kd" if self.slot == "logits" else "hard_label"
        with tiny_run(tiny_recipe(name, method)) as run:
            step = run.step(first_window(run)[0])
            owner = run.methods[name]
            seen = run.view(step, owner)
            teacher = next(iter(seen.teachers.values()), None)
            return getattr(owner, self.slot)[0], Pair(seen.student.rows, teacher.rows if teacher else None), seen

    def test_it_has_an_effect(self) -> None:
        transform, pair, step = self.pair()
        after = transform(pair, step)
        before, rows = pair.student, after.student
        same = torch.equal(before.logits, rows.logits) and before.target is rows.target and pair.teacher is after.teacher
        assert not same, "the transform changes nothing"

    def test_it_is_pure(self) -> None:
        transform, pair, step = self.pair()
        before = replace(pair.student, scores=pair.student.logits.clone())
        first, second = transform(pair, step), transform(pair, step)
        assert torch.equal(first.student.logits, second.student.logits)
        assert torch.equal(pair.student.logits, before.logits), "the transform changed its input in place"

    def test_rows_keep_their_shape(self) -> None:
        transform, pair, step = self.pair()
        assert transform(pair, step).student.logits.shape == pair.student.logits.shape

    def test_it_is_registered(self) -> None:
        assert registry.get("transforms", self.transform)
