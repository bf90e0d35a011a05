"""Ranges of settings, said once for every constructor: `above(0, temperature=temperature)`.

Each function takes settings by their names and raises ValueError for the first one outside its range, as a sentence that
begins with the name: `temperature must be > 0, got -1`. A recipe puts the path before it. None is a setting left out and
passes; of a sequence, every item is looked at. NaN, infinity, booleans and what is no number are outside every range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

BELOW_ONE = frozenset({"momentum", "beta1", "beta2", "dropout"})
NEVER_NEGATIVE = frozenset({"lr", "rate", "momentum", "decay", "beta1", "beta2", "eps", "dropout", "variance"})
T = TypeVar("T")
Setting = float | Sequence[float] | None


@dataclass(frozen=True)
class Range:
    """What a value must be, in words, and whether a finite number is so."""

    expected: str
    admits: Callable[[float], bool]

    def check(self, name: str, value: Any, inside: str = "") -> None:
        """Raise ValueError unless the value is a finite number in this range."""
        if not (is_finite(value) and self.admits(value)):
            raise ValueError(f"{name} must be {self.expected}, got {_shown(value)}{inside}")


_asked: ContextVar[dict[str, list[Range]] | None] = ContextVar("asked", default=None)
_of: WeakKeyDictionary[object, dict[str, list[Range]]] = WeakKeyDictionary()


def finite(**values: Setting) -> None:
    """Refuse what is not a finite number."""
    _refuse("a finite number", lambda value: True, values)


def above(low: float, /, **values: Setting) -> None:
    """Refuse a value that is not above `low`."""
    _refuse(f"> {low:g}", lambda value: value > low, values)


def at_least(low: float, /, **values: Setting) -> None:
    """Refuse a value below `low`."""
    _refuse(f"at least {low:g}", lambda value: value >= low, values)


def between(low: float, high: float, /, **values: Setting) -> None:
    """Refuse a value outside `low` to `high`; both bounds are admitted."""
    _refuse(f"between {low:g} and {high:g}", lambda value: low <= value <= high, values)


def strictly_between(low: float, high: float, /, **values: Setting) -> None:
    """Refuse a value outside `low` to `high`, or at one of the bounds."""
    _refuse(f"above {low:g} and below {high:g}", lambda value: low < value < high, values)


def at_least_and_below(low: float, high: float, /, **values: Setting) -> None:
    """Refuse a value below `low`, or not below `high`: a momentum, a rate of dropout."""
    _refuse(f"at least {low:g} and below {high:g}", lambda value: low <= value < high, values)


def some(**values: Sequence[object]) -> None:
    """Refuse an empty list."""
    for name, value in values.items():
        if not value:
            raise ValueError(f"{name} must name at least one, got []")


def constructed(make: Callable[[], T]) -> T:
    """What `make` constructs; the ranges that its constructor asks for are asked again of values that a schedule puts there."""
    asked: dict[str, list[Range]] = {}
    token = _asked.set(asked)
    try:
        made = make()
    finally:
        _asked.reset(token)
    with suppress(TypeError):  # what cannot be hashed or referred to weakly has no numbers that a schedule moves
        _of[made] = asked
    return made


def admissible(owner: object, name: str, value: float) -> None:
    """Refuse a value for an attribute that its owner's constructor would not have taken for the setting of that name.

    Of an attribute that no constructor checked, such as the numbers of a torch optimizer, the last word of the name decides
    (`lr`, `weight_decay`); of any other name, a finite number is asked.
    """
    asked = _asked_by(owner).get(name, [])
    for each in asked:
        each.check(name, value)
    if asked:
        return
    word = name.rpartition("_")[2]
    if word == "temperature":
        above(0, **{name: value})
    elif word in BELOW_ONE:
        at_least_and_below(0, 1, **{name: value})
    elif word in NEVER_NEGATIVE:
        at_least(0, **{name: value})
    else:
        finite(**{name: value})


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number; a boolean is none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _asked_by(owner: object) -> dict[str, list[Range]]:
    try:
        return _of.get(owner, {})
    except TypeError:
        return {}


def _refuse(expected: str, admits: Callable[[float], bool], values: dict[str, Setting]) -> None:
    found, asked = Range(expected, admits), _asked.get()
    for name, value in values.items():
        if asked is not None:
            asked.setdefault(name, []).append(found)
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is not None:
                found.check(name, item, f" in {list(value)}" if isinstance(value, list | tuple) else "")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, Real) and not isinstance(value, bool) else repr(value)
