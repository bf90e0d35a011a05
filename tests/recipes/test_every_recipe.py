"""Every recipe in `recipes/` is sound, and those that teach by example stay short."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.engine.components import make
from kdzoo.engine.launch import launch
from kdzoo.recipe.find import available, builtin_folder, describe, hidden
from kdzoo.recipe.load import load

BUILTIN = {name: path for name, path in available().items() if path.is_relative_to(builtin_folder())}
WHOLE = [name for name in BUILTIN if not hidden(name)]
VANILLA = [name for name in WHOLE if name.endswith("/kd")]
SHORT = ["cifar100/dkd", "cifar100/mlkd", "cifar100/ofd", "fashion_mnist/sim_kd", "fashion_mnist/dml", "digits/kd"]


@pytest.mark.parametrize("name", WHOLE)
def test_every_recipe_loads_with_all_its_rows(name: str, cells: Any) -> None:
    recipe = load(name)
    make(recipe.settings)
    if recipe.settings["bench"]:
        assert cells(name)


@pytest.mark.parametrize("name", WHOLE)
def test_every_recipe_says_in_a_line_what_it_is(name: str) -> None:
    assert describe(BUILTIN[name]).endswith(".")


def test_there_are_recipes_of_plain_distillation() -> None:
    assert {"cifar100/kd", "fashion_mnist/kd", "digits/kd"} <= set(VANILLA)


@pytest.mark.parametrize("name", VANILLA)
def test_plain_distillation_takes_no_more_than_25_lines(name: str) -> None:
    assert len(BUILTIN[name].read_text().splitlines()) <= 25


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
@pytest.mark.parametrize("name", SHORT)
def test_two_steps_of_a_recipe_give_finite_losses_for_all_its_terms(
    name: str, miniature: Callable[..., Any], tmp_path: Path
) -> None:
    recipe = miniature(load(name), tmp_path)
    result = launch(recipe)
    log = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    steps = [entry for entry in log if entry["event"] == "step"]
    assert len(steps) == 2
    for step in steps:
        assert {term.partition(".")[0] for term in step["terms"]} == set(recipe.settings["methods"])
        assert all(math.isfinite(value) for value in step["terms"].values())


SAYS_NOTHING = re.compile(r"[\w.]+:|(extends|recipe): .*")
"""A line that opens a section, or points to another recipe in place of repeating it."""


def repeated_share(folder: Path, *, of_all: bool = False) -> float:
    """The share of the lines of all recipes in a folder, stripped, that an earlier line says already.

    Args: of_all: count the lines that say nothing, too.
    """
    files = sorted(folder.rglob("*.yaml"))
    stripped = [line.strip() for file in files for line in file.read_text().splitlines()]
    lines = [line for line in stripped if line and (of_all or not SAYS_NOTHING.fullmatch(line))]
    return 1 - len(set(lines)) / len(lines)


def test_recipes_point_instead_of_repeating() -> None:
    assert repeated_share(builtin_folder()) <= 0.15, "say it once: `_defaults.yaml`, `extends`, `recipe`"
    assert repeated_share(builtin_folder(), of_all=True) <= 0.245, "say it once: `_defaults.yaml`, `extends`, `recipe`"


def test_a_line_counts_as_repeated_wherever_it_is_indented(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: 1\n\ny:\n  x: 1\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\ny:\n  z: 2\n  x: 1\n")
    assert repeated_share(tmp_path) == 0.5
    assert repeated_share(tmp_path, of_all=True) == pytest.approx(3 / 7)
