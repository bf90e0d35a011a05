"""The studies of label smoothing: their rows differ in what they ask about, and in nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from kdzoo.benchmark.plan.grid import Cell, expand
from kdzoo.recipe.load import load

Cells = Callable[[str], Sequence[Cell]]
STUDIES = ("temperature", "student_labels", "three_levels", "hierarchy", "class_count", "long_tail")
LARGE = ("cifar100_temperature", "cifar100_levels", "cifar100_classes", "cifar100_long_tail", "imagenet_temperature")
BY_METHOD = {"kd_pt": "kd_pt", "kd_pt_sim": "kd_pt_sim", "kd_topk 1": "kd_topk", "kd_topk 5": "kd_topk"}


def rows(cells: Cells, study: str) -> dict[str, Mapping[str, Any]]:
    return {cell.row: cell.recipe.settings for cell in cells(f"smoothing/{study}")}


def teacher(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = settings["teachers"]["teacher"]
    return found


@pytest.mark.parametrize("study", [*STUDIES, *LARGE])
def test_all_rows_have_one_student_and_one_budget(study: str, cells: Cells) -> None:
    for part in ("student", "train", "optimizers"):
        assert len({str(settings[part]) for settings in rows(cells, study).values()}) == 1, part


@pytest.mark.parametrize("study", [*STUDIES, *LARGE])
def test_teachers_learn_from_the_images_of_their_students(study: str, cells: Cells) -> None:
    for settings in rows(cells, study).values():
        for spec in settings["teachers"].values():
            assert spec["recipe"]["task"] == settings["task"]


@pytest.mark.parametrize("study", ["temperature", "three_levels", "hierarchy", "class_count", "long_tail"])
def test_claims_have_six_seeds(study: str) -> None:
    assert len(load(f"smoothing/{study}").get("bench.seeds")) == 6


@pytest.mark.parametrize("study", ["temperature", "cifar100_temperature", "imagenet_temperature"])
def test_the_temperatures_are_compared_on_two_teachers_that_differ_in_their_targets_alone(study: str, cells: Cells) -> None:
    found = rows(cells, study)
    for temperature in (1, 2, 3, 64):
        plain, smoothed = (found[f"{kind} at {temperature}"] for kind in ("plain", "smoothed"))
        assert plain["methods"] == smoothed["methods"]
        assert plain["methods"]["kd"]["temperature"] == temperature
        assert list(plain["methods"]) == ["kd"]
        said = ("name", "description", "methods")
        one, two = (
            {key: value for key, value in teacher(each)["recipe"].items() if key not in said} for each in (plain, smoothed)
        )
        assert one == two
        assert [t["use"] for t in teacher(smoothed)["recipe"]["methods"]["hard_label"]["targets"]] == ["smooth"]


def test_hard_and_smoothed_labels_stand_beside_both_teachers_at_every_temperature(cells: Cells) -> None:
    found = set(rows(cells, "student_labels"))
    kinds = [
        f"{kind} at {temperature} with {own}"
        for kind in ("plain", "smoothed")
        for temperature in (1, 2, 3, 64)
        for own in ("labels", "smooth labels")
    ]
    assert found == {*kinds, "student alone"}


def test_on_imagenet_published_numbers_stand_beside_the_rows() -> None:
    published = expand("smoothing/imagenet_temperature", seeds=[0]).published
    assert len(published) == 8
    assert published["smoothed at 1"] == "imagenet_resnet50_resnet18/smoothed at 1"


@pytest.mark.parametrize("study", ["three_levels", "hierarchy"])
def test_each_level_is_kd_with_another_target(study: str, cells: Cells) -> None:
    found = rows(cells, study)
    kd = found["kd"]
    for row, transform in BY_METHOD.items():
        changed = found[row]["methods"]["kd"]
        assert [t["use"] for t in changed["logits"]] == [transform]
        assert {**changed, "logits": []} == kd["methods"]["kd"]
        assert found[row]["teachers"] == kd["teachers"]
    similar = teacher(found["kd_sim"])
    assert similar["use"] == "kd_sim"
    assert similar["recipe"] == teacher(kd)["recipe"]


def test_there_is_a_row_for_each_number_of_classes_and_each_length_of_the_tail(cells: Cells) -> None:
    assert {cell.point["task.data.count"] for cell in cells("smoothing/class_count")} == {2, 5, 10}
    assert {cell.point["task.data.ratio"] for cell in cells("smoothing/long_tail")} == {1, 10, 100}
