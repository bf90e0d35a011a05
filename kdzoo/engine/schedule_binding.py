"""Bind schedules to the numbers they move: a method's float attribute, a term weight, an optimizer's rate, a teacher's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kdzoo.engine.run import Run
from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.protocol.blame import hook_of
from kdzoo.protocol.outputs import Progress
from kdzoo.ranges import admissible
from kdzoo.schedules import Schedule


@dataclass(frozen=True)
class Binding:
    """A schedule, where it acts, and the configured number it starts from."""

    path: str
    schedule: Schedule
    base: float
    put: Callable[[float], None]
    owner: Any = None

    def apply(self, progress: Progress) -> None:
        """Put the value that holds now. Raises RecipeError for one that a constructor would not have taken."""
        with hook_of(f"schedules.{self.path}", "value"):
            value = self.schedule.value(self.base, progress)
        try:
            admissible(self.owner, self.path.rpartition(".")[2], value)
        except ValueError as error:
            raise RecipeError(
                f"schedules.{self.path} reaches an inadmissible value at epoch {progress.epoch}, step {progress.step}: "
                f"{error}; change the schedule."
            ) from None
        self.put(value)


def bind(run: Run, schedules: Mapping[str, Schedule]) -> list[Binding]:
    """Check every path of `schedules:` against what is alive and bind it."""
    return [_bind(run, path, schedule) for path, schedule in schedules.items()]


def _bind(run: Run, path: str, schedule: Schedule) -> Binding:
    root, _, rest = path.partition(".")
    name, _, attribute = rest.partition(".")
    groups: dict[str, Mapping[str, Any]] = {"methods": run.methods, "teachers": run.teachers, "optimizers": run.rates}
    if root not in groups or not attribute:
        raise RecipeError(
            f"schedules.{path} names no number; write methods.<label>.<attribute>, methods.<label>.weights.<term>, "
            "optimizers.<role>.lr or teachers.<name>.<attribute>."
        )
    if name not in groups[root]:
        raise RecipeError(f"schedules.{path}: there is no {root}.{name}; {did_you_mean(name, groups[root])}")
    return _number(path, groups[root][name], attribute, schedule)


def _number(path: str, owner: Any, attribute: str, schedule: Schedule) -> Binding:
    *parents, last = re.findall(r"[^.\[\]]+", attribute)
    for part in parents:
        owner = _get(owner, part, path)
    base = _get(owner, last, path)
    if isinstance(base, bool) or not isinstance(base, int | float):
        raise RecipeError(f"schedules.{path}: {attribute} is {base!r}, not a number, so no schedule can move it.")

    def put(value: float) -> None:
        if isinstance(owner, dict):
            owner[last] = value
        else:
            setattr(owner, last, value)

    return Binding(path, schedule, float(base), put, owner)


def _get(owner: Any, part: str, path: str) -> Any:
    try:
        if part.isdigit():
            return owner[int(part)]
        return owner[part] if isinstance(owner, dict) else getattr(owner, part)
    except (KeyError, AttributeError, IndexError):
        names = owner if isinstance(owner, dict) else [n for n, v in vars(owner).items() if isinstance(v, int | float)]
        raise RecipeError(f"schedules.{path}: there is no {part!r}; {did_you_mean(part, names)}") from None
