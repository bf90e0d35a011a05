"""Small plugins registered in this process, and recipe files in a folder of the test's own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from torch import nn

from kdzoo import registry
from kdzoo.protocol.method import Method, Transform
from kdzoo.protocol.roles import Data, RecipeRef, Schedule, Tracker
from kdzoo.protocol.task import Model
from kdzoo.protocol.teacher import Teacher
from kdzoo.registry.entries import LOCAL


class Task:
    tells: ClassVar[Mapping[str, Any]] = {"classes": 10, "channels": 3, "size": 32, "entities": 10, "relations": 4}

    def __init__(self, *, data: Data | None = None, folds: int = 1) -> None:
        self.data, self.folds = data, folds


class Source:
    def __init__(self, *, images: Any = None, limit: int | None = None) -> None:
        self.images, self.limit = images, limit


class Net(nn.Module):
    def __init__(self, *, classes: int, size: int = 8, widths: Sequence[int] = (4, 8)) -> None:
        super().__init__()
        if min(widths) < 1:
            raise ValueError(f"widths must be positive, got {list(widths)}")
        self.layer = nn.Linear(size, classes)


def wide(*, classes: int, channels: int, factor: int = 2) -> nn.Module:
    return nn.Linear(channels * factor, classes)


class Soft(Method):
    def __init__(self, *, temperature: float = 4.0, mode: Literal["mean", "sum"] = "mean", head: Model | None = None) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}")
        self.temperature, self.mode, self.head = temperature, mode, head


class Plain(Method):
    pass


class Scale(Transform):
    def __init__(self, *, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor


class Ramp(Schedule):
    def __init__(self, *, until: int = 1) -> None:
        super().__init__()
        self.until = until


class Fixed(Teacher):
    def __init__(self, *, model: Model | None = None, checkpoint: str | None = None, recipe: RecipeRef | None = None) -> None:
        super().__init__()
        self.spec, self.checkpoint, self.recipe = model, checkpoint, recipe


class Reborn(Teacher):
    """Generations: each is a recipe whose teacher is the one before."""

    def __init__(self, *, generations: int = 2, recipe: RecipeRef | None = None) -> None:
        super().__init__()

    @staticmethod
    def expand(settings: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
        left = settings["generations"] - 1
        if left < 0:
            raise ValueError(f"generations must be > 0, got {left + 1}")
        rest = {name: section for name, section in recipe.items() if name != "teachers"}
        own = {"teachers": {"teacher": {"use": "reborn", "generations": left}}} if left else {"methods": {"plain": {}}}
        return {"use": "fixed", "recipe": rest | own}


class Step:
    def __init__(self, *, lr: float = 0.1, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        self.lr, self.betas = lr, betas


class Log:
    def __init__(self, *, project: str = "p") -> None:
        self.project = project


class Ensemble(Teacher):
    def __init__(self, *, members: Sequence[Model], named: Mapping[str, Model] = {}) -> None:
        super().__init__()
        self.members, self.named = members, named


PLUGINS = {
    "tasks": {"image_classification": Task},
    "data": {"source": Source},
    "models": {"net": Net, "wide": wide},
    "methods": {"soft": Soft, "plain": Plain},
    "transforms": {"scale": Scale},
    "schedules": {"ramp": Ramp},
    "teachers": {"fixed": Fixed, "reborn": Reborn, "many": Ensemble},
    "optimizers": {"sgd": Step, "other": Step},
    "trackers": {"log": Log},
}
Tracked = Tracker  # the protocol that `Log` keeps


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only the plugins above exist."""
    before = dict(LOCAL)
    LOCAL.clear()
    monkeypatch.setattr("kdzoo.registry.lookup._installed", lambda kind: {})
    for kind, named in PLUGINS.items():
        for name, obj in named.items():
            registry.register(kind, name, obj)
    yield
    LOCAL.clear()
    LOCAL.update(before)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`write("kd.yaml", text)`: a recipe file in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: Any) -> Any:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write
