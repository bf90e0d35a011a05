"""Ranges of this family's settings, in the words of a recipe. Each raises ValueError; the recipe names the place."""

from __future__ import annotations


def between(low: float, high: float, **values: float) -> None:
    """Refuse a value that is not strictly between two bounds."""
    for name, value in values.items():
        if not low < value < high:
            raise ValueError(f"{name} must be above {low:g} and below {high:g}, got {value:g}")


def at_least(least: float, **values: float | None) -> None:
    """Refuse a value below a bound."""
    for name, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least:g}, got {value:g}")


def above(low: float, **values: float | None) -> None:
    """Refuse a value that is not above a bound."""
    for name, value in values.items():
        if value is not None and not value > low:
            raise ValueError(f"{name} must be > {low:g}, got {value:g}")
