"""What a search may choose: for each path of a recipe a range of numbers, or a list of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kdzoo.ranges import finite

KEYS = ("low", "high", "log")


class Trial(Protocol):
    """What Optuna asks with."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int: ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any: ...


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them; whole ones if both bounds are. `log`: even on a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggested(self, trial: Trial, path: str) -> float:
        """The trial's number, of four significant digits."""
        if self.whole:
            return trial.suggest_int(path, int(self.low), int(self.high), log=self.log)
        exact = trial.suggest_float(path, self.low, self.high, log=self.log)
        return min(max(float(f"{exact:.4g}"), self.low), self.high)

    def has(self, value: object) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self.whole or isinstance(value, int))  # type: ignore[operator]

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def suggested(self, trial: Trial, path: str) -> Any:
        return trial.suggest_categorical(path, list(self.values))

    def has(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


Space = Mapping[str, Range | Choice]


def space_of(given: Any, where: str) -> Space:
    """The space that a recipe describes: path -> `[a, b]`, or `{low: 1, high: 8, log: true}`. Raises ValueError."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} must be a mapping from a path to its values, got {given!r}")
    return {path: _part(value, f"{where}.{path}") for path, value in given.items()}


def _part(given: Any, where: str) -> Range | Choice:
    if isinstance(given, list) and given:
        if any(not isinstance(value, str | int | float | bool | None) for value in given):
            raise ValueError(f"{where} must list numbers, texts or truth values, got {given!r}")
        return Choice(tuple(given))
    if not isinstance(given, Mapping) or not {"low", "high"} <= given.keys() <= set(KEYS):
        raise ValueError(f"{where} must be a list of values, or {{low: 1, high: 8}} with log: true if you like, got {given!r}")
    found = Range(given["low"], given["high"], bool(given.get("log", False)))
    finite(**{f"{where}.low": found.low, f"{where}.high": found.high})
    if not found.low < found.high:
        raise ValueError(f"{where}.high must be above low, got {found.low:g} to {found.high:g}")
    if found.log and found.low <= 0:
        raise ValueError(f"{where}.low must be > 0 on a logarithmic scale, got {found.low:g}")
    return found
