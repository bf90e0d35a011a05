"""Teachers that are plans: they stand for a chain of recipes, each trained once and shared."""

from pathlib import Path
from typing import Any

import pytest
from kdzoo_logits.born_again import BornAgain
from kdzoo_logits.takd import TAKD

import kdzoo
from kdzoo import registry
from kdzoo.errors import RecipeError
from kdzoo.recipe.load import load

AGAIN, ASSISTED = "again", "assisted"
TINY = {"use": "tiny_cnn", "widths": [4, 8]}


@pytest.fixture(autouse=True)
def plans() -> None:
    """Both plans, under names of their own."""
    registry.register("teachers", AGAIN, BornAgain)
    registry.register("teachers", ASSISTED, TAKD)


def given(teacher: Any, **sections: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "seed": 7,
        "task": {"data": "digits", "train_size": 40, "validation": 100},
        "student": TINY,
        "teacher": teacher,
        "methods": {"hard_label": {}, "kd": {"temperature": 3}},
        "schedules": {"optimizers.student.lr": "cosine", "methods.kd.weights.kd": {"use": "warmup", "until": 2}},
        "train": {"epochs": 1, "batch_size": 20},
        **sections,
    }


def chain(recipe: Any) -> tuple[list[Any], Any] | tuple[list[Any], None]:
    """The recipes of a run and of its teachers, the last run first."""
    found = [recipe]
    while found[-1]["teachers"]:
        (teacher,) = found[-1]["teachers"].values()
        assert teacher["use"] == "frozen"
        if teacher["recipe"] is None:
            return found, teacher
        found.append(teacher["recipe"])
    return found, None


def generations(teacher: Any, **sections: Any) -> Any:
    return chain(load(given(teacher, **sections)).settings)[0]


def test_the_third_generation_has_three_before_it() -> None:
    student, second, first, zeroth = generations({"use": AGAIN, "generations": 3})
    assert student["student"] == second["student"] == first["student"] == zeroth["student"]
    assert student["methods"] == second["methods"] == first["methods"]
    assert student["task"] == zeroth["task"]


def test_the_first_network_learns_from_labels_alone() -> None:
    zeroth = generations({"use": AGAIN})[-1]
    assert list(zeroth["methods"]) == ["hard_label"]
    assert zeroth["methods"]["hard_label"]["weights"] == {}
    assert zeroth["teachers"] == zeroth["learners"] == {}
    assert list(zeroth["schedules"]) == ["optimizers.student.lr"]


def test_every_generation_starts_elsewhere_whatever_the_students_seed() -> None:
    assert [run["seed"] for run in generations({"use": AGAIN, "generations": 2})] == [7, 1001, 1000]
    assert [run["seed"] for run in generations({"use": AGAIN, "generations": 2, "seed": 5}, seed=8)] == [8, 6, 5]


def test_what_a_recipe_says_of_itself_is_not_said_of_its_teachers() -> None:
    aim = {"metric": "top1", "value": 90, "source": "a table"}
    student, teacher = generations(AGAIN, reference=aim, description="Mine.")
    assert student["reference"]["value"] == 90
    assert (teacher["reference"], teacher["description"], teacher["name"]) == (None, "", "generation0")


def test_the_weights_of_a_generation_may_be_those_of_its_best_epoch() -> None:
    recipe = load(given({"use": AGAIN, "weights": "best", "generations": 2}))
    assert recipe.get("teachers.teacher.weights") == "best"
    assert recipe.get("teachers.teacher.recipe.teachers.teacher.weights") == "best"


def test_no_generation_before_the_student_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"teacher\.generations must be > 0, got 0"):
        load(given({"use": AGAIN, "generations": 0}))


def test_other_teachers_stay_beside_the_plan() -> None:
    recipe = given(None, teachers={"old": {"use": AGAIN, "generations": 2}, "smooth": "virtual"})
    recipe["methods"]["kd"]["teacher"] = "old"
    first = load(recipe).settings["teachers"]["old"]["recipe"]
    assert {name: spec["use"] for name, spec in first["teachers"].items()} == {"old": "frozen", "smooth": "virtual"}


def test_assistants_stand_between_teacher_and_student() -> None:
    large, middle, small = ({"use": "tiny_cnn", "widths": [width]} for width in (32, 16, 12))
    recipe = {"task": {"data": "digits"}, "student": large, "methods": {"hard_label": {}}}
    runs = generations({"use": ASSISTED, "assistants": [middle, small], "recipe": recipe})
    assert [run["student"]["widths"] for run in runs] == [[4, 8], [12], [16], [32]]
    assert runs[0]["methods"] == runs[1]["methods"] == runs[2]["methods"]
    assert list(runs[3]["methods"]) == ["hard_label"]
    assert [run["name"] for run in runs[1:3]] == ["assistant2", "assistant1"]


def test_a_chain_may_start_from_a_checkpoint() -> None:
    head = {"model": {"use": "mlp"}, "checkpoint": "large.safetensors"}
    runs, teacher = chain(load(given({"use": ASSISTED, "assistants": ["tiny_cnn"], **head})).settings)
    assert [run["student"]["use"] for run in runs] == ["tiny_cnn", "tiny_cnn"]
    assert (teacher["model"]["use"], teacher["checkpoint"]) == ("mlp", "large.safetensors")


def test_without_assistants_it_is_the_teacher_itself() -> None:
    plain = {"model": TINY, "checkpoint": "large.pth"}
    assisted = load(given({"use": ASSISTED, "assistants": [], **plain})).settings["teachers"]
    assert assisted == load(given({"use": "frozen", **plain})).settings["teachers"]


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_all_students_of_a_plan_share_its_runs(tmp_path: Path) -> None:
    runtime = {"out": str(tmp_path), "device": "cpu"}
    for seed in (0, 1):
        kdzoo.run(given({"use": AGAIN, "generations": 2}, seed=seed, runtime=runtime))
    kept = sorted(folder.name.rpartition("-")[0] for folder in (tmp_path / "teachers").iterdir())
    assert kept == ["generation0", "generation1"]
