"""Every setting of every plugin and section, given what it cannot take: a sentence with the place and exit code 2, or it works.

The recipes are generated. A sample of them runs with every change, the sweep over all is slow.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.components import make
from kdzoo.engine.feed import Feed
from kdzoo.engine.launch import deployable
from kdzoo.engine.loop import Loop
from kdzoo.engine.observers import Observers
from kdzoo.engine.position import Position
from kdzoo.engine.stages import StagePlan
from kdzoo.errors import KdzooError, PluginError
from kdzoo.recipe.load import Recipe, load
from kdzoo.recipe.paths import join
from kdzoo.recipe.schema import Field, schema_for, schema_of
from kdzoo.recipe.sections import Layout, Reserved
from kdzoo.testing.tiny import STUDENT, TEACHER, registered

pytestmark = pytest.mark.filterwarnings("ignore")

VALUES: dict[str, Any] = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "negative": -1,
    "zero": 0,
    "a fraction": 0.5,
    "huge": 10**30,
    "beyond 64 bits": 2**63,
    "a huge float": 1e300,
    "a word": "no such word",
    "an empty text": "",
    "true": True,
    "null": None,
    "an empty list": [],
    "a list of nan": [math.nan],
    "a list of a word": ["no such word"],
    "a list of negatives": [-1],
    "a list of null": [None],
    "a list of huge": [10**30],
    "an empty mapping": {},
    "a mapping": {"no_such_key": 1},
    "a mapping of nan": {"x": math.nan},
}
NOT_FINITE = {"nan", "inf", "-inf", "a list of nan", "a mapping of nan", "a huge float"}
TOO_LARGE = {"huge", "beyond 64 bits", "a list of huge"}  # for an integer

DIGITS: dict[str, Any] = {
    "name": "wrong",
    "task": {"use": "image_classification", "data": "digits", "train_size": 44, "validation": 1000, "crop": 1},
    "student": STUDENT,
    "teachers": {"teacher": {"use": "frozen", "model": TEACHER}},
    "methods": {"hard_label": {}, "kd": {}},
    "optimizers": {"student": {"use": "sgd", "lr": 0.02}},
    "train": {"epochs": 2, "batch_size": 12},
    "runtime": {"device": "cpu", "trackers": []},
}
MOVING = {
    **DIGITS,
    "teachers": {"teacher": {"use": "trainable", "model": TEACHER}},
    "optimizers": {"student": {"use": "sgd"}, "teacher": {"use": "sgd"}},
}
GRAPH: dict[str, Any] = {
    **{key: value for key, value in DIGITS.items() if key != "teachers"},
    "task": {"use": "link_prediction", "data": "nations"},
    "student": {"use": "gcn"},
    "methods": {"hard_label": {}},
}
SLOT: dict[str, tuple[str, ...]] = {
    "transforms": ("methods", "kd", "logits", "0"),
    "teachers": ("teachers", "teacher"),
    "tasks": ("task",),
    "data": ("task", "data"),
    "models": ("student",),
    "schedules": ("schedules", "optimizers.student.lr"),
    "optimizers": ("optimizers", "student"),
    "trackers": ("runtime", "trackers", "0"),
}


@dataclass(frozen=True)
class Place:
    """A setting of a recipe that is right but for it."""

    base: dict[str, Any]
    keys: tuple[str, ...]
    use: str | None
    field: Field | None

    def recipe(self, value: Any) -> dict[str, Any]:
        """The recipe with a value there."""
        written = copy.deepcopy(self.base)
        *owners, last = self.keys
        found: Any = written
        for depth, key in enumerate(owners):
            if isinstance(found, list):
                found[:] = found or [{}]
                found = found[int(key)]
            else:
                if isinstance(found.get(key), str):
                    found[key] = {"use": found[key]}
                is_list = depth + 1 < len(owners) and owners[depth + 1] == "0"
                found = found.setdefault(key, [] if is_list else {})
        if self.use is not None and self.keys[-1] != "use":
            if found.get("use", self.use) != self.use:
                found.clear()
            found["use"] = self.use
        found[last] = value
        return written

    @property
    def owner(self) -> str:
        """The path of what has the setting, as messages begin."""
        path = ""
        for key in self.keys[:-1]:
            path = join(path, int(key) if key == "0" else key)
        return path

    @property
    def id(self) -> str:
        return ".".join([self.use or "", *self.keys])


def fields_of(fields: dict[str, Field], keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Field]]:
    """Each setting, those of sections included."""
    for name, field in fields.items():
        yield (*keys, name), field
        if field.section:
            yield from fields_of(dict(schema_of(field.section).fields), (*keys, name))


def places() -> Iterator[Place]:
    for keys, field in fields_of(dict(schema_of(Layout).fields), ()):
        yield Place(DIGITS, keys, None, field)
    for keys, field in fields_of(dict(schema_of(Reserved).fields), ("methods", "kd")):
        yield Place(DIGITS, keys, None, field)
    for kind in ("methods", *SLOT):
        for name in registered(kind):
            owner = SLOT.get(kind, ("methods", name))
            for keys, field in fields_of(dict(schema_for(kind, name).fields), owner):
                if kind != "methods" or keys[2] not in schema_of(Reserved).fields:
                    yield Place(_base(kind, name), keys, name, field)
            yield Place(_base(kind, name), (*owner, "misspelt_key"), name, None)


def _base(kind: str, name: str) -> dict[str, Any]:
    module = getattr(registry.get(kind, name), "__module__", "")
    if "kdzoo_graph" in module:
        return GRAPH
    return MOVING if "kdzoo_meta" in module and kind == "methods" else DIGITS


PLACES = list(places())
CASES = [(place, what) for place in PLACES for what in VALUES]
SAMPLE = random.Random(0).sample(CASES, 120)


def out_of_range(field: Field) -> Any:
    """A value of the wrong type or range; None where every value is right, or only Python can give one."""
    if field.section or field.slot or field.shape != "one":
        return 7
    members = {field.plain, *get_args(field.plain)}
    if str in members or field.plain is None:
        return None
    return "no such word" if bool in members or not members & {int, float} else -1


SIGNED = {"seed", "subset_seed", "open_split", "end", "start", "value", "values", "mean"}
"""Numbers that may be negative: seeds, where schedules go, means of pixels."""


@pytest.mark.parametrize("place", [p for p in PLACES if p.field and out_of_range(p.field) is not None], ids=lambda p: p.id)
def test_a_value_out_of_range_is_refused_by_the_check(place: Place) -> None:
    assert place.field is not None
    value = out_of_range(place.field)
    if value == -1 and place.keys[-1] in SIGNED:
        return
    if get_origin(place.field.plain) in (list, tuple):
        value = [value]
    with pytest.raises(KdzooError):
        check(place.recipe(value))


def check(written: dict[str, Any]) -> None:
    """What `kdzoo check` does with a recipe of one run."""
    loaded = load(written)
    make(loaded.settings, loaded.provenance)


def test_a_sample_of_wrong_recipes_ends_in_sentences(tmp_path: Path) -> None:
    found = {f"{place.id} = {what}": outcome(place, what, tmp_path, build=True) for place, what in SAMPLE}
    assert {case: problem for case, problem in found.items() if problem} == {}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.id)
def test_every_wrong_recipe_ends_in_a_sentence(place: Place, tmp_path: Path) -> None:
    found = {what: outcome(place, what, tmp_path, build=False) for what in VALUES}
    assert {what: problem for what, problem in found.items() if problem} == {}


@pytest.mark.slow
def test_a_wide_sample_ends_in_sentences_when_constructed(tmp_path: Path) -> None:
    sample = random.Random(1).sample(CASES, 800)
    found = {f"{place.id} = {what}": outcome(place, what, tmp_path, build=True) for place, what in sample}
    assert {case: problem for case, problem in found.items() if problem} == {}


def _has_data(recipe: Recipe) -> bool:
    """Whether the data of a recipe are on this machine: graphs come with an extra."""
    data = recipe.settings["task"].get("data")
    return not isinstance(data, dict) or data["use"] != "nations" or find_spec("pykeen") is not None


def outcome(place: Place, what: str, tmp_path: Path, *, build: bool) -> str:
    """What is wrong with how a wrong value is told; empty if nothing is."""
    recipe = place.recipe(VALUES[what])
    recipe.setdefault("paths", {})
    if isinstance(recipe["paths"], dict):
        recipe["paths"].setdefault("teachers", str(tmp_path))
    step = "check"
    try:
        loaded = load(recipe)
        if loaded.settings["bench"] is None:
            make(loaded.settings, loaded.provenance)
        if place.field is None:
            return "a misspelt key passes"
        kinds = _numbers(place.field)
        if (what in NOT_FINITE and kinds) or (what in TOO_LARGE and kinds == {int}):
            return f"{what} passes the check"
        if build and loaded.settings["bench"] is None and not loaded.settings["train"]["compile"] and _has_data(loaded):
            step = "construction"
            _first_step(loaded)
    except KdzooError as error:
        text = str(error)
        if error.exit_code not in (2, 3):
            return f"{step}: exit code {error.exit_code}: {text}"
        if isinstance(error, PluginError) and what not in TOO_LARGE:  # memory sets a limit of its own
            return f"{step}: a plugin is blamed: {text}"
        said = [place.owner, place.owner.replace("teachers.teacher", "teacher"), join(place.owner, place.keys[-1])]
        if not any(each in text for each in said):
            return f"{step}: no place: {text}"
        if "\n" in text:
            return f"{step}: more than one line: {text}"
        return ""
    except Exception as error:
        return f"{step}: {type(error).__name__}: {error}"
    return ""


def _first_step(recipe: Recipe) -> None:
    """What a run does before the second step, but for training its teachers."""
    run = assemble(recipe.settings, recipe.provenance, train_recipe=lambda run, settings, which: deployable(settings))
    plan = StagePlan.of(run, recipe.settings["train"]["epochs"], run.schedules)
    loop = Loop(run, plan, Feed(run), Observers({}), Position())
    try:
        loop.advance()
    finally:
        loop.close()


def _numbers(field: Field) -> set[type]:
    """The types of number that a setting takes; empty if it takes text."""
    members = {field.plain, *get_args(field.plain)}
    return set() if str in members else members & {int, float}
