"""Every number that a registered plugin takes: NaN, infinity and booleans are refused, by a sentence that names the setting."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest

from kdzoo import registry
from kdzoo.errors import RecipeError
from kdzoo.ranges import NEVER_NEGATIVE
from kdzoo.recipe.layers import Layers
from kdzoo.recipe.schema import Field, schema_for, schema_of, told_by_tasks
from kdzoo.recipe.validate import Checker
from kdzoo.testing.tiny import registered

KINDS = ("methods", "transforms", "teachers", "tasks", "data", "models", "schedules", "optimizers", "trackers")
UNFIT = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "a boolean": True, "the text nan": "nan"}
NEVER = NEVER_NEGATIVE | {"temperature"}

REQUIRED = {
    ("methods", "sftn"): {"student": None},
    ("models", "hf"): {"name": "none"},
    ("models", "student_from_teacher"): {"teacher": "none", "layers": [1]},
}
"""What a constructor must be given beside the number under test, where it has no default."""


def numbers(fields: Any, path: str = "") -> Iterator[tuple[str, Field]]:
    """The settings that hold numbers, those of sections included."""
    for name, field in fields.items():
        members = {field.plain, *get_args(field.plain)}
        if field.section:
            yield from numbers(schema_of(field.section).fields, f"{path}{name}.")
        elif members & {int, float} and not members & {bool, str}:
            yield path + name, field


def every_number() -> Iterator[Any]:
    for kind in KINDS:
        for name in registered(kind):
            for path, field in numbers(schema_for(kind, name).fields):
                yield pytest.param(kind, name, path, field, id=f"{kind}.{name}.{path}")


EVERY_NUMBER = list(every_number())


@pytest.mark.parametrize(("kind", "name", "path", "field"), EVERY_NUMBER)
def test_what_is_no_finite_number_is_refused_by_name(kind: str, name: str, path: str, field: Field) -> None:
    checker = Checker({}, Layers(), lambda value, _: value)
    for shown, value in UNFIT.items():
        written = _written(field, value)
        with pytest.raises(RecipeError) as error:
            pytest.fail(f"{shown} became {checker.field(field, written, f'{kind}.{name}.{path}')!r}")
        assert re.match(rf"{re.escape(f'{kind}.{name}.{path}')}(\[\d+\]|\.one)? must be ", str(error.value))


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [p.values[:3] for p in EVERY_NUMBER if p.values[2].rpartition("_")[2] in NEVER],
)
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, True])
def test_rates_momenta_decays_and_temperatures_are_refused_by_the_constructor(
    kind: str, name: str, path: str, value: float
) -> None:
    constructor = registry.get(kind, name)
    context = dict.fromkeys(told_by_tasks().keys() & inspect.signature(constructor).parameters.keys(), 3)
    with pytest.raises(ValueError, match=rf"^{path} must be "):
        constructor(**context, **REQUIRED.get((kind, name), {}), **{path: value})


def _written(field: Field, value: Any) -> Any:
    origin = get_origin(field.plain)
    if origin is tuple:
        return [value] * len(get_args(field.plain))
    return {list: [value], dict: {"one": value}}.get(origin, value)
