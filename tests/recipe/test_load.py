"""Loading: defaults, slots, layout, and the sentence for every mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdzoo import registry
from kdzoo.errors import PluginError, RecipeError
from kdzoo.recipe.load import Recipe, load

BASE = {"student": "net", "methods": {"soft": {}}}


def refused(recipe: Any, *overrides: Any, error: Any = RecipeError) -> str:
    with pytest.raises(error) as caught:
        load(recipe, overrides)
    return str(caught.value)


def test_every_default_is_filled_in() -> None:
    settings = load(BASE).settings
    assert settings["task"] == {"use": "image_classification", "data": None, "folds": 1}
    assert settings["student"] == {"use": "net", "widths": [4, 8]}
    assert settings["methods"]["soft"]["temperature"] == 4.0
    assert settings["methods"]["soft"]["weights"] == {}
    assert settings["optimizers"] == {"student": {"use": "sgd", "lr": 0.1, "betas": [0.9, 0.99]}}
    assert settings["train"] == {
        "epochs": 10,
        "batch_size": 64,
        "accumulate": 1,
        "clip": None,
        "precision": "fp32",
        "channels_last": False,
        "compile": False,
        "deterministic": True,
        "evaluate_every": 1,
        "patience": None,
    }
    assert settings["runtime"]["device"] == "auto"
    assert (settings["seed"], settings["reference"], settings["bench"], settings["teachers"]) == (0, None, None, {})


def test_a_loaded_recipe_loads_to_itself_as_settings_and_as_a_file(write: Callable[..., Any]) -> None:
    recipe = load(BASE | {"teacher": {"use": "reborn"}, "schedules": {"methods.soft.temperature": "ramp"}})
    assert load(recipe.settings).settings == recipe.settings
    write("again.yaml", recipe.yaml())
    assert load("again.yaml").settings == recipe.settings


def test_one_method_can_stand_under_two_labels() -> None:
    methods = load(BASE | {"methods": {"soft": {}, "softer": {"use": "soft", "temperature": 8}}}).settings["methods"]
    assert [spec["temperature"] for spec in methods.values()] == [4.0, 8.0]


def test_a_slot_takes_a_name_or_a_mapping() -> None:
    methods = {"soft": {"logits": ["scale", {"use": "scale", "factor": 2}], "head": "net"}}
    soft = load(BASE | {"methods": methods}).settings["methods"]["soft"]
    assert soft["logits"] == [{"use": "scale", "factor": 1.0}, {"use": "scale", "factor": 2.0}]
    assert soft["head"] == {"use": "net", "widths": [4, 8]}


def test_a_slot_without_a_name_keeps_its_usual_plugin() -> None:
    settings = load(BASE | {"task": {"folds": 2}, "optimizers": {"student": {"lr": 1}}}).settings
    assert settings["task"] == {"use": "image_classification", "data": None, "folds": 2}
    assert settings["optimizers"]["student"] == {"use": "sgd", "lr": 1.0, "betas": [0.9, 0.99]}


def test_an_optimizer_for_another_role_leaves_the_students_in_place() -> None:
    assert load(BASE | {"optimizers": {"teacher": "other"}}).settings["optimizers"].keys() == {"student", "teacher"}


def test_slots_may_be_sequences_and_mappings_of_plugins() -> None:
    teacher = {"use": "many", "members": ["net", {"use": "wide", "factor": 3}], "named": {"big": "wide"}}
    settings = load(BASE | {"teacher": teacher}).settings["teachers"]["teacher"]
    assert [spec["use"] for spec in settings["members"]] == ["net", "wide"]
    assert settings["named"] == {"big": {"use": "wide", "factor": 2}}


def test_teacher_is_short_for_teachers() -> None:
    short = load(BASE | {"teacher": "fixed"})
    assert short.settings["teachers"].keys() == {"teacher"}
    assert "teacher" not in short.settings
    assert short.provenance["teachers.teacher.use"] == "the given mapping"


def test_teacher_and_teachers_together_are_refused() -> None:
    assert "both `teacher` and `teachers`" in refused(BASE | {"teacher": "fixed", "teachers": {"b": "fixed"}})


def test_python_objects_pass_through_untouched() -> None:
    net, images, model = nn.Linear(2, 2), torch.zeros(3), nn.Linear(1, 1)
    task = {"data": {"use": "source", "images": images}}
    settings = load(BASE | {"student": net, "task": task, "teacher": {"use": "fixed", "model": model}}).settings
    assert settings["student"] is net
    assert settings["task"]["data"]["images"] is images
    assert settings["teachers"]["teacher"]["model"] is model


def test_python_objects_are_named_in_the_yaml() -> None:
    assert "student: <Linear>" in load(BASE | {"student": nn.Linear(2, 2)}).yaml()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ({"trian": {}}, "trian is no setting of a recipe (from the given mapping); did you mean 'train'?"),
        (
            {"train": {"epochs": 1, "epoch": 2}},
            "train.epoch is no setting of train (from the given mapping); did you mean 'epochs'?",
        ),
        ({"methods": {"soft": {"temprature": 1}}}, "methods.soft.temprature is no setting of soft (in-process)"),
        (
            {"methods": {"soft": {"logits": ["scale", {"use": "scale", "facter": 1}]}}},
            "methods.soft.logits[1].facter is no setting of scale (in-process) (from the given mapping); did you mean 'factor'",
        ),
        ({"methods": {"soft": {"mode": "max"}}}, "methods.soft.mode must be one of 'mean', 'sum', got \"max\""),
        ({"methods": {"soft": {"logits": "scale"}}}, 'methods.soft.logits must be a list of transforms, got "scale"'),
        ({"methods": {"soft": {"weights": {"soft": "x"}}}}, "methods.soft.weights must be a mapping to numbers"),
        ({"methods": ["soft"]}, 'methods must be a mapping to methods, got ["soft"]'),
        (
            {"methods": {"sofd": {}}},
            "methods.sofd (from the given mapping): There is no 'sofd' among the methods: did you mean",
        ),
        ({"methods": {"soft": None}}, "methods.soft must be one of the methods, by name or as {use: name, ...}, got null"),
        ({"methods": {"so.ft": {"use": "soft"}}}, "the name 'so.ft' must be a text without dots"),
        ({"learners": {1: "net"}}, "learners[1]: the name 1 must be a text without dots"),
        ({"student": 5}, "student must be one of the models, by name or as {use: name, ...}, got 5"),
        (
            {"student": {"widths": [1]}},
            "student does not say which of the models it is (from the given mapping): write student.use",
        ),
        ({"student": {"use": "net", "classes": 3}}, "student.classes is no setting of net"),
        ({"student": None}, "student must be one of the models"),
        ({"teacher": {"use": "many"}}, "teacher.members is missing (from the given mapping): it must be a list of models"),
        ({"train": {"epochs": "many"}}, 'train.epochs must be an integer, got "many" (from the given mapping)'),
        ({"train": 5}, "train must be a mapping of settings, got 5"),
        ({"train": {"epochs": None}}, "train.epochs must be an integer, got null"),
        ({"train": {"batch_size": 0}}, "train.batch_size must be > 0, got 0 (from the given mapping)"),
        ({"runtime": {"keep": 0}}, "runtime.keep must be > 0, got 0"),
        ({"runtime": {"trackers": ["lag"]}}, "runtime.trackers[0] (from the given mapping): There is no 'lag'"),
        ({"reference": {"metric": "top1"}}, "reference.value is missing (from the given mapping): it must be a number"),
        (
            {"schedules": {"methods.soft.temperature": {"use": "ramp", "til": 1}}},
            "schedules.methods.soft.temperature.til is no",
        ),
        (
            {"task": {"use": "image_classification", "data": {"use": "source", "limit": "x"}}},
            "task.data.limit must be an integer",
        ),
    ],
)
def test_a_mistake_is_named_with_path_origin_and_what_was_expected(recipe: Any, sentence: str) -> None:
    message = refused(BASE | recipe)
    assert sentence in message
    assert message.endswith((".", "?"))


def test_a_recipe_without_a_student_says_so() -> None:
    assert refused({"methods": {}}) == "student is missing: it must be one of the models, by name or as {use: name, ...}."


def test_an_object_is_wanted_where_only_python_can_give_one() -> None:
    def plugin(*, image: torch.Tensor) -> None: ...

    registry.register("data", "own", plugin)
    recipe = BASE | {"task": {"data": {"use": "own", "image": "cat"}}}
    assert 'task.data.image must be a Tensor, which only Python can give, got "cat"' in refused(recipe)


def test_a_broken_plugin_is_named_with_the_path_that_wants_it() -> None:
    def plugin(*, rate) -> None: ...  # noqa: ANN001

    registry.register("models", "broken", plugin)
    message = refused(BASE | {"student": "broken"}, error=PluginError)
    assert message.startswith("student (from the given mapping): The parameter 'rate' of broken (in-process) has no annotation")


def test_get_finds_settings_by_path() -> None:
    recipe = load(BASE | {"methods": {"soft": {"logits": ["scale"]}}, "schedules": {"methods.soft.temperature": "ramp"}})
    assert recipe.get("train.epochs") == 10
    assert recipe.get("methods.soft.logits[0].factor") == 1.0
    assert recipe.get("schedules.methods.soft.temperature.until") == 1
    with pytest.raises(RecipeError, match=r"no setting train\.epoch in .*; did you mean 'epochs'"):
        recipe.get("train.epoch")


def test_provenance_tells_file_override_and_default(write: Callable[..., Any]) -> None:
    write("_base.yaml", "student: net\ntrain: {epochs: 3}\n")
    write("kd.yaml", "extends: _base.yaml\nmethods: {soft: {logits: [scale]}}\n")
    provenance = load("kd.yaml", ["seed=4"]).provenance
    assert provenance["train.epochs"] == provenance["student.use"] == "_base.yaml"
    assert provenance["methods.soft.logits[0].use"] == "kd.yaml"
    assert provenance["seed"] == "override seed=4"
    assert provenance["train.batch_size"] == provenance["methods.soft.temperature"] == "default"


def test_every_leaf_has_a_provenance() -> None:
    from kdzoo.recipe.paths import leaves

    recipe = load(BASE | {"teacher": {"use": "reborn"}})
    assert [path for path, _ in leaves(recipe.settings)] == list(recipe.provenance)


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load(BASE).settings = {}
    assert isinstance(load(BASE), Recipe)


def test_the_home_folder_is_written_out_in_paths() -> None:
    settings = load(
        BASE | {"teacher": {"use": "fixed", "checkpoint": "${paths.teachers}/a.st"}}, ["paths.data=~/data"]
    ).settings
    assert settings["paths"] == {"teachers": str(Path.home() / ".cache/kdzoo/teachers"), "data": str(Path.home() / "data")}
    assert settings["teachers"]["teacher"]["checkpoint"] == f"{settings['paths']['teachers']}/a.st"
