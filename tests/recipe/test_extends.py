"""Files that extend others, names of recipes, and references inside them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.errors import RecipeError
from kdzoo.recipe import find
from kdzoo.recipe.load import load

PARENT = """
    name: parent
    description: the parent
    student: {use: net, widths: [1, 2]}
    methods: {soft: {temperature: 2}, plain: {}}
    optimizers: {student: {use: sgd, lr: 0.5}}
    train: {epochs: 3, clip: 1.0}
    reference: {metric: top1, value: 1, source: paper}
"""


@pytest.fixture
def child(write: Callable[..., Any]) -> Callable[..., Any]:
    """`child(text)`: the settings of a file that extends the parent above."""

    def child(text: Any) -> Any:
        write("_base/parent.yaml", PARENT)
        write("child.yaml", "extends: _base/parent.yaml\n" + text)
        return load("child.yaml").settings

    return child


def refused(*arguments: Any) -> str:
    with pytest.raises(RecipeError) as error:
        load(*arguments)
    return str(error.value)


def test_a_child_changes_what_it_says_and_keeps_the_rest(child: Callable[..., Any]) -> None:
    settings = child("methods: {soft: {temperature: 5}}\ntrain: {batch_size: 7}")
    assert settings["methods"]["soft"]["temperature"] == 5.0
    assert settings["methods"].keys() == {"soft", "plain"}
    assert (settings["train"]["epochs"], settings["train"]["batch_size"]) == (3, 7)


def test_null_removes_what_the_parent_has(child: Callable[..., Any]) -> None:
    settings = child("methods: {plain: null}\ntrain: {clip: null, epochs: null}")
    assert settings["methods"].keys() == {"soft"}
    assert (settings["train"]["clip"], settings["train"]["epochs"]) == (None, 10)


def test_a_list_replaces_the_parents(child: Callable[..., Any]) -> None:
    assert child("student: {widths: [3]}")["student"]["widths"] == [3]


def test_another_plugin_takes_nothing_from_the_parents_one(child: Callable[..., Any]) -> None:
    settings = child("student: {use: wide}\noptimizers: {student: {use: other}}\nmethods: {soft: {use: plain}}")
    assert settings["student"] == {"use": "wide", "factor": 2}
    assert settings["optimizers"]["student"]["lr"] == 0.1
    assert settings["methods"]["soft"]["use"] == "plain"


def test_the_same_plugin_named_again_keeps_its_settings(child: Callable[..., Any]) -> None:
    settings = child("student: {use: net}\nmethods: {soft: {use: soft, mode: sum}}")
    assert settings["student"]["widths"] == [1, 2]
    assert (settings["methods"]["soft"]["temperature"], settings["methods"]["soft"]["mode"]) == (2.0, "sum")


def test_a_child_adds_settings_to_a_plugin_that_its_parent_only_names(write: Callable[..., Any]) -> None:
    write("a.yaml", "student: net\n")
    write("b.yaml", "extends: a.yaml\nstudent: {widths: [9]}\n")
    assert load("b.yaml").settings["student"] == {"use": "net", "widths": [9]}


def test_what_a_file_says_of_itself_is_not_inherited(child: Callable[..., Any]) -> None:
    settings = child("")
    assert (settings["name"], settings["description"], settings["reference"]) == ("child", "", None)


def test_a_mapping_keeps_the_name_of_what_it_extends(write: Callable[..., Any]) -> None:
    write("kd.yaml", PARENT)
    settings = load({"extends": "kd.yaml", "train": {"epochs": 1}}).settings
    assert (settings["name"], settings["train"]["epochs"]) == ("parent", 1)


def test_extends_is_relative_to_the_file_that_says_it(write: Callable[..., Any]) -> None:
    write("deep/_base/b.yaml", "student: net\n")
    write("deep/a.yaml", "extends: [_base/b.yaml]\n")
    assert load("deep/a.yaml").settings["student"]["use"] == "net"


@pytest.mark.parametrize("extends", ["[a.yaml, b.yaml]", "{a: b}", "3"])
def test_there_is_one_parent(write: Callable[..., Any], extends: str) -> None:
    write("kd.yaml", f"extends: {extends}\n")
    assert "`extends` in kd.yaml must be the path or name of one recipe" in refused("kd.yaml")


def test_a_circle_is_refused_with_its_files(write: Callable[..., Any]) -> None:
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "extends: a.yaml\n")
    assert refused("a.yaml") == "Recipes extend each other in a circle: a.yaml -> b.yaml -> a.yaml."


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("student: net\ntrain: [1\nseed: 2\n", "kd.yaml, line 3: did not find expected ',' or ']'; expected YAML."),
        ("seed: 1\nseed: 2\n", "kd.yaml, line 2: found duplicate key seed"),
        ("seed: !!python/object/apply:os.getcwd []\n", "kd.yaml, line 1: could not determine a constructor"),
        ("- a\n- b\n", "kd.yaml holds a list; a recipe is a mapping"),
        ("seed: ${a\n", "kd.yaml cannot be read"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(write: Callable[..., Any], text: str, sentence: str) -> None:
    write("kd.yaml", text)
    assert sentence in refused("kd.yaml")


def test_a_number_in_a_file_may_have_an_exponent_without_a_dot(write: Callable[..., Any]) -> None:
    write("kd.yaml", "student: net\noptimizers: {student: {lr: 1e-3}}\nbench: {value: 1e-3}\n")
    settings = load("kd.yaml").settings
    assert settings["optimizers"]["student"]["lr"] == settings["bench"]["value"] == 0.001


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def builtin(write: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three built-in recipes, one of them a base."""
    for name in ("vision/quick.yaml", "vision/cifar/kd.yaml", "text/kd.yml", "_base/part.yaml"):
        write(f"recipes/{name}", f"description: 'about {name}'\nstudent: net\n")
    monkeypatch.setattr(find, "builtin_folder", lambda: tmp_path / "recipes")


@pytest.mark.parametrize("name", ["quick", "vision/quick", "vision/quick.yaml", "quick.yaml", "text/kd", "cifar/kd"])
def test_a_built_in_recipe_is_found_by_path_name_or_unique_end(builtin: Any, name: str) -> None:
    assert load(name).settings["student"]["use"] == "net"


def test_an_ambiguous_name_lists_the_whole_names(builtin: Any) -> None:
    assert refused("kd") == "Several recipes are called 'kd': write 'text/kd' or 'vision/cifar/kd'."


def test_an_unknown_recipe_is_answered_with_the_nearest(builtin: Any) -> None:
    said = refused("quikc")
    assert said.startswith(
        "There is no recipe 'quikc', neither as a file nor as a name; did you mean 'quick'? It was looked for /"
    )
    assert said.endswith("/quikc.")


def test_a_text_that_is_no_path_at_all_is_no_recipe(builtin: Any) -> None:
    assert "There is no recipe 'student: net\n" in refused("student: net\n" * 400)


def test_a_part_is_found_only_by_its_whole_name(builtin: Any) -> None:
    assert load("_base/part").settings["name"] == "part"
    assert "There is no recipe 'part'" in refused("part")
    assert [name for name in find.available() if find.hidden(name)] == ["_base/part"]


def test_a_file_of_the_folder_wins_over_a_name(builtin: Any, write: Callable[..., Any]) -> None:
    write("quick", "student: wide\n")
    assert load("quick").settings["student"]["use"] == "wide"


def test_a_description_is_read_without_parsing_the_recipe(builtin: Any) -> None:
    assert find.describe(find.available()["vision/quick"]) == "about vision/quick.yaml"
    assert find.describe(Path(__file__)) == ""


def test_recipes_of_a_distribution_are_found_under_its_name(
    builtin: Any, write: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("site/plugin_recipes/__init__.py", "raise RuntimeError")
    write("site/plugin_recipes/mine.yaml", "student: wide\n")
    entry = registry.Entry("recipes", "other", "plugin_recipes", "kdzoo-other", "1.0")
    monkeypatch.setattr("kdzoo.registry.lookup._installed", lambda kind: {"other": [entry]} if kind == "recipes" else {})
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    assert load("mine").settings["student"]["use"] == load("other/mine").settings["student"]["use"] == "wide"
    assert "plugin_recipes" not in sys.modules


def test_kdzoos_own_recipes_stand_beside_its_checkout_or_inside_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "kdzoo"
    monkeypatch.setattr(find.kdzoo, "__file__", str(package / "__init__.py"))
    assert find.builtin_folder() == package / "recipes"
    (tmp_path / "pyproject.toml").touch()
    assert find.builtin_folder() == tmp_path / "recipes"


# -- references ------------------------------------------------------------------------------------------------------


def test_a_reference_is_replaced_by_what_it_names() -> None:
    recipe = {
        "student": {"use": "net", "widths": "${learners.a.widths}"},
        "learners": {"a": {"use": "net", "widths": [3]}},
        "teacher": {"use": "fixed", "checkpoint": "${paths.teachers}/${name}-${learners.a.widths[0]}.st"},
        "paths": {"teachers": "/t"},
        "name": "n",
        "seed": "${train.epochs}",
    }
    settings = load(recipe, ["train.epochs=4"]).settings
    assert settings["student"]["widths"] == [3]
    assert settings["teachers"]["teacher"]["checkpoint"] == "/t/n-3.st"
    assert settings["seed"] == 4


def test_a_reference_may_name_a_default() -> None:
    assert load({"student": "net", "seed": "${train.batch_size}"}).settings["seed"] == 64


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("${oc.env:HOME}", "only plain references such as ${paths.data} are allowed"),
        ("${eval:1+1}", "neither reads the environment nor runs code"),
        ("${.a}", "only plain references"),
        ("a${train.epoch}b", "refers to ${train.epoch}, which the recipe does not set (from the given mapping)"),
        ("${name}", "name refers to itself, by way of name -> name"),
        ("x${train}", "puts ${train} into a text, but that is no single value"),
    ],
)
def test_any_other_reference_is_refused(reference: str, sentence: str) -> None:
    assert sentence in refused({"student": "net", "name": reference, "train": {"epochs": 1}})


# -- the defaults of a folder -------------------------------------------------------------------------------------------


def test_a_file_that_extends_nothing_extends_the_defaults_of_its_folder(write: Callable[..., Any]) -> None:
    write("_defaults.yaml", "student: wide\ntrain: {epochs: 3}")
    settings = load(write("own.yaml", "train: {batch_size: 7}")).settings
    assert (settings["student"]["use"], settings["train"]["epochs"], settings["train"]["batch_size"]) == ("wide", 3, 7)


def test_a_file_may_extend_another_than_the_defaults_or_none(write: Callable[..., Any]) -> None:
    write("_defaults.yaml", "train: {epochs: 3}")
    write("other.yaml", "extends: null\nstudent: wide")
    for text in ("extends: other.yaml", "extends: null\nstudent: wide"):
        settings = load(write("own.yaml", text)).settings
        assert (settings["student"]["use"], settings["train"]["epochs"]) == ("wide", 10)


def test_parts_and_mappings_do_not_extend_the_defaults(write: Callable[..., Any]) -> None:
    write("_defaults.yaml", "train: {epochs: 3}")
    part = write("_part.yaml", "student: wide")
    assert load(part).get("train.epochs") == load({"student": "wide"}).get("train.epochs") == 10


# -- the method of another recipe ----------------------------------------------------------------------------------------


def test_a_recipe_may_take_the_method_of_another_over_its_own_pair_and_budget(write: Callable[..., Any]) -> None:
    write("base.yaml", "student: net\ntrain: {epochs: 99}")
    write("soft.yaml", "extends: base.yaml\nmethods: {soft: {temperature: 7}}\noptimizers: {student: {lr: 0.5}}\nseed: 4")
    settings = load(write("own.yaml", "recipe: soft.yaml\nstudent: wide\ntrain: {epochs: 3}")).settings
    assert settings["methods"]["soft"]["temperature"] == 7
    assert (settings["student"]["use"], settings["train"]["epochs"], settings["seed"]) == ("wide", 3, 0)
    assert settings["optimizers"]["student"]["lr"] == 0.5


def test_a_recipe_may_change_what_it_takes(write: Callable[..., Any]) -> None:
    write("soft.yaml", "student: net\nmethods: {plain: {}, soft: {temperature: 7}}")
    methods = load(write("own.yaml", "recipe: soft.yaml\nstudent: wide\nmethods: {soft: {temperature: 2}}")).get("methods")
    assert (list(methods), methods["soft"]["temperature"]) == (["plain", "soft"], 2)


def test_recipes_that_take_each_others_method_are_refused(write: Callable[..., Any]) -> None:
    write("one.yaml", "recipe: other.yaml\nstudent: net")
    write("other.yaml", "recipe: one.yaml\nstudent: net")
    with pytest.raises(RecipeError, match="in a circle"):
        load("one.yaml")
