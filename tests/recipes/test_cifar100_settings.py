"""The settings behind published numbers, by recipe and pair; a number whose settings cannot be had does not stand there."""

from typing import Any

import pytest

from kdzoo.benchmark.report.published import published
from kdzoo.recipe.find import available, hidden
from kdzoo.recipe.load import load

PAIRS = "cifar100/pairs/"
NAMES = [name.removeprefix(PAIRS) for name in available() if name.startswith(PAIRS) and not hidden(name)]
MISSING = object()


@pytest.mark.parametrize(
    ("recipe", "where", "value"),
    [
        ("wkd_logit", ("methods", "wkd_logit", "gamma"), 600),
        ("wkd_logit", ("schedules", "methods.wkd_logit.gamma", "after"), 149),
        ("wkd_logit", ("schedules", "methods.wkd_logit.weights.wkd_logit"), MISSING),
        ("wkd_logit", ("optimizers", "student", "nesterov"), True),
        ("wkd_feature", ("schedules", "methods.wkd_feature.weights.wkd", "after"), 149),
        ("wkd_feature", ("optimizers", "student", "nesterov"), True),
        ("sdd", ("methods", "sdd", "scales"), [1, 2]),
        ("rld", ("methods", "rld", "confidence_temperature"), 4),
        ("ps_kd", ("optimizers", "student", "nesterov"), True),
        ("dlb", ("optimizers", "student", "nesterov"), True),
        ("sskd", ("methods", "sskd", "head_lr"), 0.05),
        ("tf_kd", ("methods", "tf_kd", "temperature"), 10),
        ("itrd", ("methods", "itrd", "alpha"), 1.01),
        ("cat_kd", ("student", "bias"), False),
    ],
)
def test_a_recipe_has_the_settings_of_the_authors_trainer(
    recipe: str, where: tuple[str, str, str] | tuple[str, str], value: Any
) -> None:
    found = load(f"cifar100/{recipe}").settings
    for key in where:
        found = found.get(key, MISSING)
    assert found == value


def test_sskd_augments_as_the_others_do() -> None:
    assert load("cifar100/sskd").settings["task"] == load("cifar100/kd").settings["task"]


@pytest.mark.parametrize("pair", NAMES)
def test_review_kd_trains_with_its_own_batch_and_rate_in_every_pair(pair: Any, cells: Any) -> None:
    rows = {cell.label: cell.recipe.settings for cell in cells(PAIRS + pair)}
    if "review_kd" in rows:
        settings = rows["review_kd"]
        light = settings["student"]["use"].startswith(("mobilenet", "shuffle"))
        optimizer = settings["optimizers"]["student"]
        assert (settings["train"]["batch_size"], optimizer["lr"], optimizer["nesterov"]) == (128, 0.02 if light else 0.1, True)


@pytest.mark.parametrize("pair", NAMES)
def test_class_attention_students_have_no_bias_in_every_pair(pair: Any, cells: Any) -> None:
    rows = {cell.label: cell.recipe.settings for cell in cells(PAIRS + pair)}
    if "cat_kd" in rows:
        assert rows["cat_kd"]["student"]["bias"] is False


def test_pairs_have_their_own_settings(cells: Any) -> None:
    wide = {cell.label: cell.recipe.settings for cell in cells(PAIRS + "wrn_40_2_shuffle_v1")}["wkd_logit"]["methods"][
        "wkd_logit"
    ]
    assert (wide["gamma"], wide["temperature"]) == (200, 6)
    deep = {cell.label: cell.recipe.settings for cell in cells(PAIRS + "resnet110_resnet20")}["mlkd"]
    assert deep["train"]["epochs"] == 480


def test_numbers_of_other_settings_are_not_quoted() -> None:
    names = set(published())
    assert not {name for name in names if name.endswith("/sskd")}, "the authors crop each rotation by itself"
    assert "wrn_40_2_shuffle_v1/wkd_feature" not in names, "it needs a grid of cells"
    assert not [name for name, aim in published().items() if name.endswith("/itrd") and "TTM" in aim["source"]]
