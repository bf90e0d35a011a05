"""Signatures as schemas: what may be written, what is refused, and how values are converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from omegaconf import OmegaConf
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.errors import PluginError
from kdzoo.protocol.method import Method, Transform
from kdzoo.protocol.roles import Data, RecipeRef, Schedule
from kdzoo.protocol.task import Model
from kdzoo.protocol.teacher import Teacher
from kdzoo.recipe.schema import REQUIRED, schema_for, schema_of

if TYPE_CHECKING:
    from collections import OrderedDict


def field_of(annotation: Any, default: Any = REQUIRED) -> Any:
    def plugin(*, it: Any) -> None: ...

    plugin.__annotations__ = {"it": annotation}
    plugin.__kwdefaults__ = None if default is REQUIRED else {"it": default}
    return schema_of(plugin).fields["it"]


def test_the_settings_are_the_keyword_only_signature() -> None:
    class Plugin:
        def __init__(self, *, required: int, rate: float = 1, name: str | None = None) -> None: ...

    fields = schema_of(Plugin).fields
    assert list(fields) == ["required", "rate", "name"]
    assert fields["required"].default is REQUIRED
    assert (fields["rate"].default, type(fields["rate"].default)) == (1.0, float)
    assert fields["name"].optional


def test_a_function_and_a_dataclass_have_schemas_too() -> None:
    @dataclass
    class Section:
        at: Sequence[int] = (1, 2)
        by: dict[str, float] = field(default_factory=dict)

    assert schema_of(Section).fields["at"].default == [1, 2]
    assert schema_of(Section).fields["by"].default == {}

    def plugin(rate: float = 0.1) -> None: ...

    assert schema_of(plugin).fields["rate"].default == 0.1


@pytest.mark.parametrize("base", [object, nn.Module, Method, Teacher, Transform, Data])
def test_a_class_without_a_constructor_of_its_own_has_no_settings(base: Any) -> None:
    assert not schema_of(type("Plugin", (base,), {})).fields


@pytest.mark.parametrize(
    ("annotation", "written", "value"),
    [
        (float, 1, 1.0),
        (float, "1e-3", 0.001),
        (int, "3", 3),
        (bool, "yes", True),
        (str, 5, "5"),
        (Any, {"a": [1, "b"]}, {"a": [1, "b"]}),
        (float | None, None, None),
        (int | None, 3, 3),
        (int | float, 2, 2),
        (float | Literal["auto"], 1, 1.0),
        (bool | Literal["auto"], "auto", "auto"),
        (Literal["a", "b"], "b", "b"),
        (Annotated[float, "rate"], 2, 2.0),
        (list[float], [1, 2], [1.0, 2.0]),
        (list, [1, "a"], [1, "a"]),
        (Sequence[float], [1, 2], [1.0, 2.0]),
        (Sequence[int] | None, None, None),
        (tuple[int, ...], [1, 2], [1, 2]),
        (tuple[float, float], [1, 2], [1.0, 2.0]),
        (list[tuple[int, int]], [[1, 2]], [[1, 2]]),
        (Mapping[str, float], {"a.b": 1}, {"a.b": 1.0}),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (dict, {"a": 1}, {"a": 1}),
        (Path, "a/b", "a/b"),
    ],
)
def test_values_are_converted_to_their_types(annotation: Any, written: Any, value: Any) -> None:
    parsed = field_of(annotation).parse(written)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("annotation", "written", "expected"),
    [
        (float, "abc", "a number"),
        (float, True, "a number"),
        (float, None, "a number"),
        (int, 1.5, "an integer"),
        (bool, "maybe", "true or false"),
        (Literal["a", "b"], "c", "one of 'a', 'b'"),
        (int | None, "x", "an integer or null"),
        (int | str, 1.5, "an integer or text"),
        (Sequence[float], ["x"], "a list of numbers"),
        (Sequence[float], 1.0, "a list of numbers"),
        (tuple[float, float], [1.0], "a list of 2 numbers"),
        (Mapping[str, int], {"a": "x"}, "a mapping to integers"),
        (list[dict[str, Any]], 3, "a list of values"),
    ],
)
def test_unfit_values_are_refused_and_the_field_says_what_it_expects(annotation: Any, written: Any, expected: str) -> None:
    made = field_of(annotation)
    with pytest.raises(ValueError):  # noqa: PT011 - the caller writes the sentence
        made.parse(written)
    assert made.expected == expected


@pytest.mark.parametrize("annotation", [Tensor, Tensor | None, nn.Module, Sequence[Tensor], Callable[[int], int]])
def test_a_foreign_class_can_only_be_given_from_python(annotation: Any) -> None:
    made = field_of(annotation)
    assert "which only Python can give" in made.expected
    with pytest.raises(ValueError, match="only Python"):
        made.parse("text")


@pytest.mark.parametrize("union", [float | list[float], str | Sequence[str], Tensor | float, list[int] | dict[str, int]])
def test_a_union_that_would_need_guessing_is_refused_with_plugin_and_parameter(union: Any) -> None:
    with pytest.raises(PluginError, match=r"The parameter 'it' of plugin is annotated .*, a union that no recipe can hold"):
        field_of(union)


def test_a_default_that_does_not_fit_its_annotation_is_refused() -> None:
    with pytest.raises(PluginError, match="The default 'x' of 'it' of plugin does not fit its annotation"):
        field_of(float, "x")


def plugin_with_args(*rates: float) -> None: ...
def plugin_with_kwargs(**rates: float) -> None: ...
def plugin_without_annotation(*, rate=1) -> None: ...  # noqa: ANN001
def plugin_unresolved(*, order: OrderedDict[str, int]) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "sentence"),
    [
        (plugin_with_args, r"The parameter '\*rates: .*' of plugin_with_args cannot be checked"),
        (plugin_with_kwargs, r"The parameter '\*\*rates: .*' of plugin_with_kwargs cannot be checked"),
        (plugin_without_annotation, "The parameter 'rate' of plugin_without_annotation has no annotation"),
        (plugin_unresolved, r"cannot be resolved \(name 'OrderedDict' is not defined\): import what they name at run time"),
    ],
)
def test_a_signature_that_cannot_be_checked_is_refused(plugin: Any, sentence: str) -> None:
    with pytest.raises(PluginError, match=sentence):
        schema_of(plugin)


@pytest.mark.parametrize(
    ("annotation", "kind", "shape"),
    [
        (Model, "models", "one"),
        (Model | None, "models", "one"),
        (Sequence[Transform], "transforms", "list"),
        (tuple[Teacher, ...], "teachers", "list"),
        (list[Schedule], "schedules", "list"),
        (Mapping[str, Model], "models", "map"),
        (Method, "methods", "one"),
        (RecipeRef, "recipe", "one"),
    ],
)
def test_a_role_makes_a_slot(annotation: Any, kind: str, shape: str) -> None:
    made = field_of(annotation)
    assert (made.slot, made.shape) == (kind, shape)


def test_what_the_task_tells_a_model_is_no_setting() -> None:
    assert list(schema_for("models", "net").fields) == ["widths"]
    assert list(schema_for("models", "wide").fields) == ["factor"]


def test_a_method_also_takes_the_reserved_settings() -> None:
    assert list(schema_for("methods", "plain").fields) == ["teacher", "reads", "logits", "targets", "weights"]


def named_weights(*, weights: str = "") -> None: ...
def named_teacher(*, teacher: str = "") -> None: ...
def named_use(*, use: str = "") -> None: ...


@pytest.mark.parametrize(
    ("kind", "plugin", "name"),
    [("methods", named_weights, "weights"), ("methods", named_teacher, "teacher"), ("models", named_use, "use")],
)
def test_a_parameter_with_a_reserved_name_is_refused(kind: str, plugin: Any, name: str) -> None:
    registry.register(kind, "clash", plugin)
    with pytest.raises(PluginError, match=rf"The parameter '{name}' of clash \(in-process\) has a name that recipes reserve"):
        schema_for(kind, "clash")


def test_the_schema_is_an_omegaconf_structured_config() -> None:
    config = schema_for("methods", "soft").structured()
    assert config.temperature == 4.0
    with pytest.raises(Exception, match="could not be converted to Float"):
        OmegaConf.update(config, "temperature", "hot")
    with pytest.raises(Exception, match="not in 'Settings'"):
        OmegaConf.update(config, "temprature", 1.0)
