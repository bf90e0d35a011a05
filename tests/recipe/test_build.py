"""From settings to objects."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from kdzoo import registry
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.recipe.build import ModelBuilder, build, split_reserved
from kdzoo.recipe.load import load

SHAPE = {"classes": 3, "channels": 1, "size": 8}


def test_slots_are_built_inside_out() -> None:
    spec = load({"student": "net", "teacher": {"use": "many", "members": ["net", "wide"], "named": {"a": "net"}}}).settings
    teacher = build("teachers", spec["teachers"]["teacher"], "teachers.teacher")
    assert [member.name for member in teacher.members] == ["net", "wide"]
    assert teacher.named["a"](**SHAPE).layer.out_features == 3


def test_a_model_gets_only_what_its_factory_asks_for() -> None:
    assert build("models", {"use": "wide", "factor": 4}, "student")(**SHAPE).in_features == 4
    assert build("models", {"use": "net", "widths": [4, 8]}, "student")(**SHAPE).layer.in_features == 8


def test_a_model_that_needs_what_the_task_does_not_tell_is_refused_in_words() -> None:
    def made_for_graphs(*, entities: int, width: int = 4) -> nn.Module:
        return nn.Linear(entities, width)

    builder = ModelBuilder("made_for_graphs", {}, made_for_graphs, "student")
    assert builder(entities=3, relations=2).in_features == 3
    with pytest.raises(CapabilityError, match="model 'made_for_graphs' needs entities, but this task"):
        builder(**SHAPE)


def test_a_model_builder_tells_its_name_and_settings() -> None:
    builder = build("models", {"use": "wide", "factor": 4}, "student")
    assert (builder.name, builder.settings) == ("wide", {"factor": 4})


def test_the_users_own_module_is_copied_at_each_call() -> None:
    own = nn.Linear(2, 2)
    builder = build("models", own, "student")
    first, second = builder(**SHAPE), builder(**SHAPE)
    assert builder.name == "Linear"
    assert first is not own
    assert first is not second
    assert torch.equal(first.weight, own.weight)


def test_the_users_own_factory_is_called() -> None:
    def own(classes: int) -> nn.Module:
        return nn.Linear(1, classes)

    assert build("models", own, "student")(**SHAPE).out_features == 3


def test_what_is_built_already_is_returned() -> None:
    source = object()
    assert build("data", source, "task.data") is source


def test_tuples_paths_and_sections_arrive_as_the_constructor_annotates_them() -> None:
    @dataclass
    class Part:
        rate: float = 0.5

    class Plugin:
        def __init__(self, *, pair: tuple[int, int], folder: Path, part: Part, rest: Path | None = None) -> None:
            self.got = (pair, folder, part, rest)

    Plugin.__init__.__annotations__["part"] = Part
    registry.register("data", "own", Plugin)
    spec = {"use": "own", "pair": [1, 2], "folder": "a", "part": {"rate": 2.0}}
    assert build("data", spec, "x").got == ((1, 2), Path("a"), Part(2.0), None)


def test_a_range_is_reported_in_recipe_words() -> None:
    recipe = load({"student": "net", "methods": {"soft": {}}}, ["methods.soft.temperature=-1"])
    own, _ = split_reserved(recipe.settings["methods"]["soft"])
    with pytest.raises(RecipeError) as error:
        build("methods", own, "methods.soft")
    assert str(error.value) == "methods.soft.temperature must be > 0, got -1.0."
    with pytest.raises(RecipeError) as error:
        build("methods", own, "methods.soft", provenance=recipe.provenance)
    assert str(error.value) == ("methods.soft.temperature must be > 0, got -1.0 (from override methods.soft.temperature=-1).")


def test_a_model_reports_its_ranges_before_it_is_built_for_data() -> None:
    with pytest.raises(RecipeError, match=r"student\.widths must be positive, got \[0\]\."):
        build("models", {"use": "net", "widths": [0]}, "student")


def test_a_complaint_about_no_setting_keeps_the_path() -> None:
    def plugin(*, a: int = 1, b: int = 1) -> None:
        raise ValueError("a and b differ" if a == b else "the two are equal")

    registry.register("data", "own", plugin)
    with pytest.raises(RecipeError, match=r"^task\.data: the two are equal\.$"):
        build("data", {"use": "own", "a": 1, "b": 2}, "task.data")


def test_an_unknown_setting_is_refused_even_unchecked() -> None:
    with pytest.raises(RecipeError, match=r"student\.widhts is no setting of net; did you mean 'widths'\?"):
        build("models", {"use": "net", "widhts": [1]}, "student")


def test_reserved_settings_are_split_off_complete() -> None:
    own, reserved = split_reserved({"use": "soft", "temperature": 2.0, "weights": {"soft": 0.5}})
    assert own == {"use": "soft", "temperature": 2.0}
    assert reserved == {"teacher": None, "reads": None, "logits": [], "targets": [], "weights": {"soft": 0.5}}
