"""The section `bench.tune`: how many trials every row gets, and among which values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdzoo.benchmark.tune.space import Space, space_of
from kdzoo.errors import RecipeError, did_you_mean

ALL = "all"
KEYS = ("trials", "seed", "space")


@dataclass(frozen=True)
class Tuning:
    """What is tuned.

    Attributes:
        trials: of every row. seed: of the search, and of all runs in it.
        spaces: label of a row -> its space; `all` for what every row chooses besides.
    """

    trials: int
    seed: int
    spaces: Mapping[str, Space]

    def space(self, label: str) -> Space:
        """What a row chooses."""
        return {**self.spaces.get(ALL, {}), **self.spaces.get(label, {})}


def tuning_of(given: Mapping[str, Any]) -> Tuning:
    """From the section, as plain data. Raises ValueError with a sentence that begins with `tune`."""
    if strange := sorted(given.keys() - set(KEYS)):
        raise ValueError(f"tune.{strange[0]} is no setting of tune; {did_you_mean(strange[0], KEYS)}")
    trials, seed = given.get("trials", 20), given.get("seed", 0)
    for name, value, least in (("trials", trials, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"tune.{name} must be a whole number of at least {least}, got {value!r}")
    spaces = given.get("space")
    if not isinstance(spaces, Mapping) or not spaces:
        raise ValueError(f"tune.space must map the labels of rows to their spaces, got {spaces!r}")
    return Tuning(trials, seed, {str(label): space_of(own, f"tune.space.{label}") for label, own in spaces.items()})


def check_rows(tuning: Tuning, labels: Sequence[str], alone: str) -> None:
    """Refuse a space of no row, and a row without a space: a method that is not tuned loses to one that is.

    The student alone may do without, for it has no method to tune. Raises RecipeError.
    """
    for label in tuning.spaces:
        if label not in (ALL, *labels):
            raise RecipeError(f"bench.tune.space: there is no row {label!r}; {did_you_mean(label, labels)}")
    for label in labels:
        if label != alone and label not in tuning.spaces and ALL not in tuning.spaces:
            raise RecipeError(
                f"bench.tune.space lacks the row {label!r}: every row gets as many trials, the baseline among them. Give it a "
                f"space, or `{label}: {{}}` if it has nothing to choose."
            )
