"""What a plugin decides while it runs is state: it comes back with a checkpoint, without the author's help."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdzoo import Method, registry, term
from kdzoo.engine.attributes import Attributes
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.schedules import Schedule
from kdzoo.testing import tiny_recipe
from kdzoo.testing.laws.helpers import Killed, Killer, logged_losses

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")


class Mode(Enum):
    FAST = 1
    SLOW = 2


@dataclass(frozen=True)
class Fixed:
    value: int = 0


class Plain:
    def __init__(self) -> None:
        self.value, self.inner = 0, [0]


class Holder(nn.Module):
    """One of everything that a method may keep in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.flag, self.number, self.text, self.nothing = False, 0.5, "a", None
        self.tensor, self.array, self.scalar = torch.zeros(2), np.zeros(2), np.float64(0)
        self.list, self.tuple, self.set, self.dict = [1], (1, 2), {1}, {"a": [1], (1, 2): None}
        self.deque, self.counter = collections.deque([1], maxlen=2), collections.Counter("a")
        self.plain, self.fixed, self.mode, self.function = Plain(), Fixed(), Mode.FAST, len
        self.random, self.generator = random.Random(1), torch.Generator().manual_seed(1)
        self.numpy = np.random.default_rng(1)
        self.inner = nn.Linear(1, 1)
        self.inner.seen = 0  # type: ignore[assignment]


CHANGES: dict[str, Callable[[Any], object]] = {
    "flag": lambda own: setattr(own, "flag", True),
    "number": lambda own: setattr(own, "number", float("inf")),
    "text": lambda own: setattr(own, "text", None),
    "nothing": lambda own: setattr(own, "nothing", "now"),
    "tensor": lambda own: own.tensor.add_(1),
    "array": lambda own: own.array.__setitem__(0, 3.0),
    "scalar": lambda own: setattr(own, "scalar", np.float64(2)),
    "list": lambda own: own.list.append({"deep": [torch.ones(1)]}),
    "tuple": lambda own: setattr(own, "tuple", (3,)),
    "set": lambda own: own.set.add(4),
    "dict": lambda own: own.dict["a"].append(2),
    "deque": lambda own: own.deque.extend([2, 3]),
    "counter": lambda own: own.counter.update("ab"),
    "plain": lambda own: (setattr(own.plain, "value", 1), own.plain.inner.append(1)),
    "fixed": lambda own: setattr(own, "fixed", replace(own.fixed, value=1)),
    "mode": lambda own: setattr(own, "mode", Mode.SLOW),
    "random": lambda own: own.random.random(),
    "generator": lambda own: torch.rand(1, generator=own.generator),
    "numpy": lambda own: own.numpy.random(),
    "inner": lambda own: setattr(own.inner, "seen", 1),
    "new": lambda own: setattr(own, "new", {"later": 1}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changed_comes_back(change: str, tmp_path: Path) -> None:
    trained, fresh = Holder(), Holder()
    before, other = Attributes({"own": trained}), Attributes({"own": fresh})
    assert before.changed() == {}
    CHANGES[change](trained)
    assert before.lost() == []
    torch.save(before.changed(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert len(saved) == 1, "only what changed is kept"
    other.restore(saved)
    assert [path for path, value in other.changed().items() if path not in saved] == []
    assert repr(other.changed()) == repr(before.changed())


def test_a_container_stays_the_object_that_others_know() -> None:
    trained, fresh = Holder(), Holder()
    before, other, known = Attributes({"own": trained}), Attributes({"own": fresh}), fresh.deque
    trained.deque.append(5)
    other.restore(before.changed())
    assert fresh.deque is known
    assert fresh.deque.maxlen == 2


@pytest.mark.parametrize("value", [lambda: 1, object(), iter([1])])
def test_what_cannot_be_kept_is_named(value: object) -> None:
    own = Holder()
    before = Attributes({"own": own})
    own.function = value  # type: ignore[assignment]
    assert before.lost() == ["own.function"]


class Deciding(Method):
    """Pushes logits apart until it has seen enough, then together: a decision of the run that no parameter holds."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.plain = 0, Plain()

    def update_teacher(self, window: Any, run: RunContext) -> None:
        self.seen += 1
        if self.seen == 2:
            self.plain.value = 1

    def after_step(self, steps: Any, run: RunContext) -> None:
        self.plain.inner[0] += len(steps)

    @term(weight=0.5)
    def squares(self, step: Step) -> Tensor:
        sign = -1.0 if self.plain.value else 1.0
        return sign * (1 + self.plain.inner[0]) * step.student.rows.logits.square().mean()


def resumes_bit_for_bit(folder: Path, method: str, recipe: Any = None, *, kills: tuple[int, ...]) -> None:
    """A run that is killed after so many records, again and again, ends as one that was not."""
    whole = launch(tiny_recipe(method, recipe=recipe, out=folder / "whole"))
    broken = tiny_recipe(method, recipe=recipe, out=folder / "broken")
    broken.settings["runtime"]["checkpoint_every"] = 1
    for records in kills:
        with pytest.raises(Killed):
            launch(broken, listeners=[Killer(records)])
    resumed = launch(broken)
    assert logged_losses(whole.folder) == logged_losses(resumed.folder)
    assert (whole.folder / DEPLOYED).read_bytes() == (resumed.folder / DEPLOYED).read_bytes()


def test_a_run_of_a_method_that_decides_resumes_bit_for_bit(tmp_path: Path) -> None:
    registry.register("methods", "deciding", Deciding)
    resumes_bit_for_bit(tmp_path, "deciding", kills=(3, 2))


class Counting(Schedule):
    """A schedule that counts what it was asked, so that its next value depends on it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def value(self, base: float, progress: Any) -> float:
        self.asked += 1
        return base / self.asked


def test_a_run_of_a_schedule_that_counts_resumes_bit_for_bit(tmp_path: Path) -> None:
    registry.register("schedules", "counting", Counting)
    resumes_bit_for_bit(tmp_path, "hard_label", {"schedules": {"optimizers.student.lr": "counting"}}, kills=(3,))


class Losing(Deciding):
    def prepare(self, batch: Batch, run: RunContext) -> Batch:
        self.maker = lambda: batch.number
        return batch


def test_what_a_checkpoint_cannot_hold_is_warned_of(tmp_path: Path) -> None:
    registry.register("methods", "losing", Losing)
    with pytest.warns(UserWarning, match=r"^methods\.losing\.maker changed in training into something that a checkpoint"):
        launch(tiny_recipe("losing", out=tmp_path, recipe={"train": {"epochs": 1, "batch_size": 22}}))
