"""A model's settings are tried before its data are there, and nothing but a setting is held against a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import kdzoo
from kdzoo.engine.components import make
from kdzoo.errors import RecipeError
from kdzoo.recipe.load import load

built: list[int] = []


def picky(*, classes: int, size: int, depth: int = 1, patch: int = 1) -> nn.Module:
    """Refuses settings in the three ways that constructors do, and numbers of the data."""
    built.append(depth)
    torch.rand(1, device="cpu")
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    if depth == 7:
        raise RecipeError("a depth of 7 does not exist.")
    if depth == 8:
        raise ValueError("cannot broadcast")
    if size % patch:
        raise ValueError(f"patch must divide the size {size}, got {patch}")
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


def from_files(*, classes: int, name: str) -> nn.Module:
    raise AssertionError("a model that is made of files is built in a run alone")


vars(from_files)["files"] = dict


@pytest.fixture(autouse=True)
def models() -> None:
    built.clear()
    kdzoo.register("models", "picky", picky)
    kdzoo.register("models", "from_files", from_files)


def checked(**sections: Any) -> None:
    recipe = load({"extends": "digits/kd", **sections})
    make(recipe.settings, recipe.provenance)


PLACES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "student": lambda model: {"student": model},
    "learners.second": lambda model: {"learners": {"second": model}},
    "teachers.teacher.model": lambda model: {"teacher": {"use": "frozen", "model": model, "recipe": None}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("depth", [0, 7])
def test_a_refused_setting_is_told_with_its_place(place: str, depth: int) -> None:
    with pytest.raises(RecipeError, match=rf"^{place}.*depth"):
        checked(**PLACES[place]({"use": "picky", "depth": depth}))


def test_every_other_complaint_is_left_to_the_run() -> None:
    folder = {"use": "image_classification", "data": {"use": "image_folder", "folder": "somewhere"}}
    checked(task=folder, teacher=None, methods={"kd": None, "hard_label": {}}, student={"use": "picky", "patch": 5})
    checked(student={"use": "from_files", "name": "somewhere"})


def test_a_trial_is_made_once_and_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    for _ in range(2):
        checked(student={"use": "picky", "depth": 3})
    assert built == [3]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_rows_of_a_bench_are_tried_before_it_starts() -> None:
    with pytest.raises(RecipeError, match=r"student.*: a depth of 7"):
        kdzoo.bench({"extends": "digits/kd", "bench": {"methods": {"kd": {"student": {"use": "picky", "depth": 7}}}}})
