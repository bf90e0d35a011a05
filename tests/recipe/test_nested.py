"""Recipes inside recipes: a teacher given by the recipe that trains it, and teachers that expand to such recipes."""

from collections.abc import Callable
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.errors import RecipeError
from kdzoo.recipe.build import build
from kdzoo.recipe.load import load


def teacher(recipe: Any) -> dict[str, dict[str, Any] | int | str]:
    return {"student": "net", "seed": 3, "teacher": {"use": "fixed", "recipe": recipe}}


def refused(recipe: Any, *overrides: Any) -> str:
    with pytest.raises(RecipeError) as error:
        load(recipe, overrides)
    return str(error.value)


def test_a_nested_recipe_is_resolved_to_all_its_settings(write: Callable[..., Any]) -> None:
    write("big.yaml", "student: wide\ntrain: {epochs: 2}\n")
    inner = load(teacher("big.yaml")).settings["teachers"]["teacher"]["recipe"]
    assert inner["name"] == "big"
    assert inner["student"] == {"use": "wide", "factor": 2}
    assert (inner["train"]["epochs"], inner["train"]["batch_size"]) == (2, 64)


def test_its_seed_is_its_own() -> None:
    assert load(teacher({"student": "wide"})).settings["teachers"]["teacher"]["recipe"]["seed"] == 0


def test_it_may_extend_a_file_beside_the_one_that_says_so(write: Callable[..., Any]) -> None:
    write("deep/big.yaml", "student: wide\n")
    write("deep/kd.yaml", "student: net\nteacher: {use: fixed, recipe: {extends: big.yaml, seed: 7}}\n")
    recipe = load("deep/kd.yaml")
    assert recipe.get("teachers.teacher.recipe.student.use") == "wide"
    assert recipe.provenance["teachers.teacher.recipe.seed"] == "deep/kd.yaml"
    assert recipe.provenance["teachers.teacher.recipe.student.use"] == "deep/big.yaml"


def test_it_runs_on_the_same_machine_and_so_shares_folders_and_runtime(write: Callable[..., Any]) -> None:
    write("big.yaml", "student: wide\npaths: {data: /elsewhere}\n")
    inner = load(teacher("big.yaml"), ["paths.data=/data", "runtime.device=cpu"]).settings["teachers"]["teacher"]["recipe"]
    assert (inner["paths"]["data"], inner["runtime"]["device"]) == ("/data", "cpu")


def test_a_mistake_in_it_is_named_with_both_paths() -> None:
    message = refused(teacher({"student": "wide", "train": {"epoch": 1}}))
    assert message.startswith("teacher.recipe: train.epoch is no setting of train (from the given mapping)")


def test_what_is_no_recipe_is_refused() -> None:
    assert "teacher.recipe must be the name or path of a recipe, or a recipe, got 5" in refused(teacher(5))


def test_a_recipe_inside_itself_is_refused(write: Callable[..., Any]) -> None:
    write("kd.yaml", "student: net\nteacher: {use: fixed, recipe: kd.yaml}\n")
    assert "nested more than 32 deep (from kd.yaml); is one inside itself?" in refused("kd.yaml")


def test_a_loaded_recipe_can_be_nested_from_python() -> None:
    inner = load({"student": "wide"})
    assert load(teacher(inner)).settings["teachers"]["teacher"]["recipe"] == inner.settings


def test_it_is_built_as_something_with_settings() -> None:
    spec = load(teacher({"student": "wide"})).settings["teachers"]["teacher"]
    assert build("teachers", spec, "teachers.teacher").recipe.settings["student"]["use"] == "wide"


def test_a_teacher_may_expand_to_nested_recipes() -> None:
    recipe = load({"student": "net", "seed": 3, "methods": {"soft": {}}, "teacher": {"use": "reborn", "generations": 2}})
    first = recipe.settings["teachers"]["teacher"]
    assert first["use"] == "fixed"
    assert first["recipe"]["methods"].keys() == {"soft"}
    second = first["recipe"]["teachers"]["teacher"]
    assert second["recipe"]["methods"].keys() == {"plain"}
    assert second["recipe"]["teachers"] == {}
    assert second["recipe"]["seed"] == 3


def test_expanded_settings_say_where_they_come_from() -> None:
    recipe = load({"student": "net", "teacher": "reborn"})
    assert recipe.provenance["teachers.teacher.use"] == "the given mapping, expanded by reborn"


def test_settings_are_checked_and_filled_in_before_they_expand() -> None:
    assert "teacher.generations must be an integer" in refused(
        {"student": "net", "teacher": {"use": "reborn", "generations": "x"}}
    )
    assert "teacher.generation is no setting" in refused({"student": "net", "teacher": {"use": "reborn", "generation": 1}})
    load({"student": "net", "teacher": "reborn"})


def test_a_value_that_an_expansion_refuses_is_told_in_recipe_words() -> None:
    message = refused({"student": "net", "teacher": {"use": "reborn", "generations": 0}})
    assert message == "teacher.generations must be > 0, got 0 (from the given mapping)."


def test_an_expansion_may_keep_the_plugin() -> None:
    class Doubling(registry.get("teachers", "fixed")):
        @staticmethod
        def expand(settings: Any, recipe: Any) -> Any:
            return settings | {"checkpoint": f"{recipe['name']}.st"}

    registry.register("teachers", "doubling", Doubling)
    spec = load({"student": "net", "name": "n", "teacher": "doubling"}).settings["teachers"]["teacher"]
    assert (spec["use"], spec["checkpoint"]) == ("doubling", "n.st")
