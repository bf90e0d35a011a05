"""Seeds that follow the run's."""

import pytest

from kdzoo.errors import RecipeError
from kdzoo.recipe.load import load


def test_each_is_the_seed_of_the_run() -> None:
    found = load("digits/kd", ["seed=7", "task.subset_seed=each", "teacher.seed=each"])
    assert found.get("task.subset_seed") == 7
    assert found.get("teachers.teacher.recipe.seed") == 7


def test_a_teacher_s_seed_is_that_of_its_recipe() -> None:
    found = load("digits/kd", ["teacher.seed=3"])
    assert found.get("teachers.teacher.recipe") == load("digits/kd", ["teacher.recipe.seed=3"]).get("teachers.teacher.recipe")
    assert found.get("seed") == 0


def test_a_recipe_that_is_written_in_place_takes_it_as_well() -> None:
    task = {"use": "image_classification", "data": "digits"}
    elder = {"task": task, "student": "linear", "methods": {"hard_label": {}}}
    own = {"use": "frozen", "recipe": elder, "seed": "each"}
    tree = {"seed": 4, "task": task, "student": "linear", "methods": {"kd": {}}, "teachers": {"elder": own}}
    assert load(tree).get("teachers.elder.recipe.seed") == 4


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (["seed=each"], 'seed must be an integer, got "each"'),
        (["teacher.seed=all"], 'teacher.recipe: seed must be an integer, got "all"'),
        (["~teacher.recipe", "teacher.model=mlp", "teacher.seed=each"], "teacher.seed is no setting of frozen"),
    ],
)
def test_what_is_no_seed_is_refused(override: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load("digits/kd", override)
