"""The benches that run many methods."""

from pathlib import Path
from typing import Any

import pytest

import kdzoo
from kdzoo import registry
from kdzoo.recipe.load import load

DIGITS, FASHION = "bench/zoo_digits", "bench/fashion_mnist_zoo"
OF_OTHER_TASKS = ("kdzoo_graph", "kdzoo_text", "kdzoo_knowledge")


def built_in(kind: Any) -> set[Any]:
    """The plugins of a kind that kdzoo brings for images."""
    found = registry.discover(kind).items()
    return {name for name, e in found if e.distribution == "kdzoo" and not e.target.startswith(OF_OTHER_TASKS)}


@pytest.fixture
def specs(cells: Any) -> list[Any]:
    """The settings of every method in every row of the digits zoo."""
    return [spec for cell in cells(DIGITS) for spec in cell.recipe.settings["methods"].values()]


def test_the_digits_zoo_runs_every_method(specs: list[Any]) -> None:
    assert built_in("methods") - {spec["use"] for spec in specs} == set(), f"add a row to recipes/{DIGITS}.yaml"


def test_the_digits_zoo_runs_every_transform(specs: list[Any]) -> None:
    used = {transform["use"] for spec in specs for transform in (*spec["logits"], *spec["targets"])}
    assert built_in("transforms") - used == set(), f"add a row to recipes/{DIGITS}.yaml"


@pytest.mark.slow
def test_no_method_of_the_digits_zoo_fails(tmp_path: Path) -> None:
    board = kdzoo.bench(DIGITS, out=tmp_path, workers=1)
    assert board.failures == {}
    assert all(row.last.n == row.expected for row in board.rows)


def test_the_fashion_zoo_has_about_twenty_methods_at_one_budget(cells: Any) -> None:
    rows = [cell.recipe for cell in cells(FASHION)]
    assert 20 <= len(rows) <= 25
    assert load(FASHION).get("bench.seeds") == [0, 1, 2]
    (epochs,) = {recipe.get("train.epochs") for recipe in rows}
    (images,) = {recipe.get("task.train_size") for recipe in rows}
    assert epochs <= 10
    assert images == 20000
    assert all(recipe.get("task.validation") for recipe in rows), "epochs are chosen on validation, not on test"


def test_every_row_of_the_fashion_zoo_is_the_recipe_of_its_method(cells: Any) -> None:
    said = ("name", "description", "bench")
    for cell in cells(FASHION):
        if cell.label == "student alone":
            continue
        recipe = load(f"fashion_mnist/{cell.label}").settings
        ours = {key: value for key, value in cell.recipe.settings.items() if key not in said}
        assert ours == {key: value for key, value in recipe.items() if key not in said}, cell.label
