"""Overrides: `a.b=1`, `~a.b`, items of lists, and keys that contain dots."""

from typing import Any

import pytest

from kdzoo.errors import RecipeError
from kdzoo.recipe.load import load

RECIPE = {
    "student": "net",
    "methods": {"soft": {"logits": ["scale", {"use": "scale", "factor": 3}]}, "plain": {}},
    "schedules": {"methods.soft.temperature": {"use": "ramp", "until": 3}},
    "optimizers": {"student": {"use": "sgd", "lr": 0.5}},
}


def settings(*overrides: Any) -> Any:
    return load(RECIPE, overrides).settings


def refused(*overrides: Any) -> str:
    with pytest.raises(RecipeError) as error:
        load(RECIPE, overrides)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-1E5", -100000.0),
        (".5", 0.5),
        ("3", 3),
        ("yes", True),
        ("null", None),
        ("", None),
        ("[1, 2]", [1, 2]),
        ("{a: 1}", {"a": 1}),
        ("'1'", "1"),
        ("a=b", "a=b"),
        ("a b", "a b"),
    ],
)
def test_a_value_is_read_as_in_a_recipe_file(text: str, value: bool | dict[str, int] | float | list[int] | str | None) -> None:
    assert settings(f"bench.it={text}")["bench"]["it"] == value


def test_a_value_is_set_and_later_ones_win() -> None:
    assert settings("train.epochs=3", "train.epochs=4")["train"]["epochs"] == 4


def test_a_mapping_is_merged_and_another_plugin_replaces() -> None:
    changed = settings("train={epochs: 2}", "train={batch_size: 3}", "optimizers.student={use: other}")
    assert (changed["train"]["epochs"], changed["train"]["batch_size"]) == (2, 3)
    assert changed["optimizers"]["student"]["lr"] == 0.1


def test_a_plugin_that_is_only_named_takes_settings() -> None:
    changed = settings("student.widths=[7]", "methods.soft.logits[0].factor=5")
    assert changed["student"] == {"use": "net", "widths": [7]}
    assert [spec["factor"] for spec in changed["methods"]["soft"]["logits"]] == [5.0, 3.0]


def test_an_item_of_a_list_is_replaced() -> None:
    assert settings("methods.soft.logits[1]=scale")["methods"]["soft"]["logits"][1]["factor"] == 1.0


def test_null_sets_null_and_a_tilde_removes() -> None:
    assert settings("train.clip=1", "train.clip=null")["train"]["clip"] is None
    assert settings("~methods.plain")["methods"].keys() == {"soft"}
    assert settings("~optimizers.student.lr")["optimizers"]["student"]["lr"] == 0.1
    assert len(settings("~methods.soft.logits[0]")["methods"]["soft"]["logits"]) == 1


def test_items_behind_a_removed_one_can_be_changed_and_keep_their_origin() -> None:
    recipe = load(RECIPE, ["~methods.soft.logits[1]", "~methods.soft.logits[0]", "methods.soft.logits=[scale, scale]"])
    assert recipe.provenance["methods.soft.logits[0].use"] == "override methods.soft.logits=[scale, scale]"
    recipe = load(RECIPE, ["~methods.soft.logits[0]", "methods.soft.logits[0].factor=7"])
    assert recipe.get("methods.soft.logits[0].factor") == 7.0
    assert recipe.provenance["methods.soft.logits[0].use"] == "the given mapping"


def test_a_key_with_dots_is_matched_whole_the_longest_first() -> None:
    changed = settings(
        "schedules.methods.soft=ramp", "schedules.methods.soft.temperature.until=5", "schedules.methods.soft.until=6"
    )
    assert {path: spec["until"] for path, spec in changed["schedules"].items()} == {
        "methods.soft.temperature": 5,
        "methods.soft": 6,
    }


def test_a_new_schedule_takes_the_whole_rest_as_its_key() -> None:
    added = settings("schedules.optimizers.student.lr={use: ramp}", "schedules.methods.soft.weights.soft=ramp")["schedules"]
    assert added["optimizers.student.lr"] == added["methods.soft.weights.soft"] == {"use": "ramp", "until": 1}


def test_a_schedule_is_removed_by_its_path() -> None:
    assert settings("~schedules.methods.soft.temperature")["schedules"] == {}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epochs", "The override 'train.epochs' cannot be read: write a.b=1 to set a value, ~a.b to remove one."),
        ("~", "The override '~' cannot be read"),
        ("=3", "The override '=3' cannot be read"),
        ("~a=3", "The override '~a=3' cannot be read"),
        ("seed=[1", "The value in the override 'seed=[1' cannot be read (did not find expected ',' or ']')"),
        ("seed=${a", "The value in the override 'seed=${a' cannot be read"),
        ("train..epochs=1", "'train..epochs' is no path"),
        ("train[0]=1", "train[0] asks for item 0 of train, which is no list"),
        ("methods.soft.logits[x]=1", "is no path"),
        ("train.epoch=1", "train.epoch is no setting of train (from override train.epoch=1); did you mean 'epochs'?"),
        ("trian.epochs=1", "trian is no setting of a recipe (from override trian.epochs=1); did you mean 'train'?"),
        ("~train.epochs", "~train.epochs removes nothing, for the recipe does not set it"),
        ("~methods.plan", "~methods.plan removes nothing, for the recipe does not set it; did you mean 'plain'?"),
        ("~methods.soft.logits[2]", "~methods.soft.logits[2] removes nothing"),
        ("methods.soft.logits[2]=scale", "methods.soft.logits[2] does not exist: methods.soft.logits has 2 items"),
        ("methods.soft.logits.factor=2", "leads through methods.soft.logits, which is a list: say which item, as in methods"),
        ("optimizers.student.lr.x=2", "leads through optimizers.student.lr, which is 0.5 and holds no settings"),
        ("methods.soft.temperature=-1x", 'methods.soft.temperature must be a number, got "-1x"'),
    ],
)
def test_a_useless_override_is_refused_with_a_sentence(override: str, sentence: str) -> None:
    assert sentence in refused(override)
