"""Rows that show what a gain comes from."""

import json
from typing import Any

import pytest

from kdzoo.benchmark import bench
from kdzoo.benchmark.plan import controls
from kdzoo.benchmark.plan.grid import expand
from kdzoo.errors import RecipeError

ALL = {"label smoothing", "kd", "hard teacher labels", "untrained teacher", "shuffled teacher", "student longer"}


def rows(recipe: Any) -> dict[str, Any]:
    return {cell.row: cell.recipe.settings for cell in expand(recipe).cells}


def test_all_controls_are_known() -> None:
    assert set(controls.known()) == ALL


def test_a_bench_may_have_all_of_them_and_keeps_a_row_of_its_own(tiny: Any) -> None:
    tiny["bench"]["controls"] = ["all"]
    found = rows(tiny)
    assert set(found) == {"student alone", "dist", *ALL}
    assert found["kd"]["methods"]["kd"]["temperature"] == 2.0, "the bench's own, not the control"
    assert found["untrained teacher"]["teachers"]["teacher"]["weights"] == "initial"
    assert found["untrained teacher"]["teachers"]["teacher"]["recipe"]["name"] == "elder", "its own architecture"
    assert not found["label smoothing"]["teachers"]
    assert {label: set(found[label]["methods"]) for label in ALL} == {
        "label smoothing": {"hard_label"},
        "kd": {"hard_label", "kd"},
        "hard teacher labels": {"hard_label", "hard_distillation"},
        "untrained teacher": {"hard_label", "kd"},
        "shuffled teacher": {"hard_label", "kd"},
        "student longer": {"hard_label"},
    }
    assert all(own["task"] == found["dist"]["task"] for own in found.values())


def test_the_longer_student_costs_what_the_taught_one_does(tiny: Any) -> None:
    tiny["bench"]["controls"] = ["student longer"]
    tiny["train"]["epochs"] = 9
    found = rows(tiny)
    assert found["student longer"]["train"]["epochs"] == 12  # teacher and student are alike: 3 S + S is 4 / 3 of 3 S
    assert expand(tiny).alone == "student alone"


def test_without_a_teacher_there_is_nothing_to_make_up_for(tiny: Any) -> None:
    tiny |= {"teacher": None, "methods": {"hard_label": {}}}
    tiny["bench"] = {"methods": {"kd": {}}, "controls": ["student longer"]}
    with pytest.raises(RecipeError, match="'student longer' needs a recipe with a teacher"):
        expand(tiny)


def test_a_control_that_does_not_exist_is_refused(tiny: Any) -> None:
    tiny["bench"]["controls"] = ["shuffled teachr"]
    with pytest.raises(RecipeError, match=r"there is no control 'shuffled teachr'; did you mean 'shuffled teacher'"):
        expand(tiny)


@pytest.mark.filterwarnings("ignore:teacher 'teacher' reaches")
def test_controls_are_trained_and_those_that_are_missing_are_named(tiny: Any) -> None:
    tiny["bench"] |= {"controls": ["untrained teacher", "shuffled teacher"], "seeds": [0]}
    board = bench(tiny, workers=1)
    assert board.failures == {}
    assert {"untrained teacher", "shuffled teacher"} <= {row.label for row in board.rows}
    assert list(board.without) == ["hard teacher labels", "label smoothing", "student longer"]
    assert "hard teacher labels, label smoothing, student longer; bench.controls=[all] adds them." in board.markdown()
    results = json.loads((board.folder / "results.json").read_text())["cells"]
    teachers = {cell["row"]: cell["teachers"]["teacher"]["test"]["top1"] for cell in results if cell["teachers"]}
    assert teachers["untrained teacher"] < 35 < teachers["shuffled teacher"] == teachers["dist"]
