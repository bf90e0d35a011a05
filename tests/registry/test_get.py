"""Getting plugins: imported on demand, and every mistake answered with a sentence."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.errors import PluginError


def refused(kind: Any, name: str) -> str:
    with pytest.raises(PluginError) as error:
        registry.get(kind, name)
    return str(error.value)


def test_get_imports_the_plugin(install: Callable[..., Any]) -> None:
    install("kdzoo-example", "[kdzoo.methods]\nmine = plugin_one:Outer.Mine\n", plugin_one="class Outer:\n  Mine = 'found'")
    assert registry.get("methods", "mine") == "found"
    assert registry.get("methods", "kdzoo-example:mine") == registry.get("methods", "kdzoo_example:mine") == "found"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("Other = 1", "AttributeError: module 'plugin_one' has no attribute 'Mine'"),
    ],
)
def test_a_plugin_that_fails_to_import_is_named_with_distribution_version_and_cause(
    install: Callable[..., Any], source: str, cause: str
) -> None:
    install("kdzoo-example", "[kdzoo.methods]\nmine = plugin_one:Mine\n", version="1.4", plugin_one=source)
    message = refused("methods", "mine")
    assert message.startswith("'mine' among the methods, from kdzoo-example 1.4, is broken: importing plugin_one:Mine failed")
    assert cause in message
    assert cause in registry.discover("methods")["mine"].problem
    assert "mine" in [entry.name for entry in registry.broken()]
    assert refused("methods", "mine") == message


def test_a_repaired_plugin_works_after_a_refresh(install: Callable[..., Any]) -> None:
    folder = install("kdzoo-example", "[kdzoo.methods]\nmine = plugin_one:Mine\n", plugin_one="1 / 0")
    refused("methods", "mine")
    (folder / "plugin_one.py").write_text("Mine = 'repaired'")
    registry.refresh()
    assert registry.get("methods", "mine") == "repaired"


def test_two_distributions_with_one_name_are_told_apart_by_the_qualified_form(install: Callable[..., Any]) -> None:
    install("kdzoo-one", "[kdzoo.methods]\nmine = plugin_one:Mine\n", plugin_one="Mine = 1")
    install("kdzoo-two", "[kdzoo.methods]\nmine = plugin_two:Mine\n", plugin_two="Mine = 2", version="3.0")
    assert refused("methods", "mine") == (
        "The name 'mine' among the methods is ambiguous: kdzoo-one 1.0 and kdzoo-two 3.0 have it. "
        "Write 'kdzoo-one:mine' or 'kdzoo-two:mine'."
    )
    assert {"kdzoo-one:mine", "kdzoo-two:mine"} <= registry.discover("methods").keys()
    assert "mine" not in registry.discover("methods")
    assert registry.get("methods", "kdzoo-two:mine") == 2


def test_an_unknown_name_is_answered_with_the_nearest(install: Callable[..., Any]) -> None:
    install("kdzoo-example", "[kdzoo.methods]\nmy_distiller = plugin_one:Mine\n")
    assert refused("methods", "my_destiller").startswith("There is no 'my_destiller' among the methods: did you mean 'my_dist")


def test_an_unknown_name_that_another_kind_has_says_so(install: Callable[..., Any]) -> None:
    install("kdzoo-example", "[kdzoo.transforms]\nmine = plugin_one:Mine\n[kdzoo.teachers]\nmine = plugin_one:Mine\n")
    assert refused("methods", "mine") == (
        "There is no 'mine' among the methods, but there is among the transforms and the teachers."
    )


def test_a_registered_object_is_found_and_known_to_be_local() -> None:
    def mine() -> None:
        """What it does. And how."""

    registry.register("models", "mine", mine)
    assert registry.get("models", "mine") is mine
    found = registry.entry("models", "mine")
    assert (found.distribution, found.summary) == ("in-process", "What it does")
    assert registry.is_local(found)


def test_registering_a_name_again_replaces_the_object() -> None:
    registry.register("models", "mine", int)
    registry.register("models", "mine", float)
    assert registry.get("models", "mine") is float


def test_a_registered_name_does_not_shadow_an_installed_one(install: Callable[..., Any]) -> None:
    install("kdzoo-example", "[kdzoo.models]\nmine = plugin_one:Mine\n", plugin_one="Mine = 1")
    registry.register("models", "mine", float)
    assert "'kdzoo-example:mine' or 'in-process:mine'" in refused("models", "mine")
    assert registry.get("models", "in-process:mine") is float
    assert not registry.is_local(registry.entry("models", "kdzoo-example:mine"))


def test_registering_an_unknown_kind_is_refused() -> None:
    with pytest.raises(PluginError, match=r"there is no kind of plugin called 'task'; did you mean 'tasks'"):
        registry.register("task", "mine", int)


PLUGIN_FILE = '''
from __future__ import annotations
from dataclasses import dataclass
from kdzoo.protocol.method import Method, Transform
from kdzoo.schedules import Schedule

class MyKD(Method):
    """My own distillation. Long story."""

class HTTPSharpen(Transform):
    name = "sharpen"

class _Helper(Method): ...

@dataclass
class Unrelated:
    value: Schedule
'''


def test_a_plugin_file_registers_the_classes_that_say_their_kind(tmp_path: Path) -> None:
    file = tmp_path / "my_kd.py"
    file.write_text(PLUGIN_FILE)
    found = registry.load_file(file)
    assert [(entry.kind, entry.name) for entry in found] == [("methods", "my_kd"), ("transforms", "sharpen")]
    assert registry.get("methods", "my_kd").__name__ == "MyKD"
    assert found[0].distribution == "my_kd.py"
    assert re.fullmatch("[0-9a-f]{12}", found[0].version)
    assert found[0].summary == "My own distillation"
    assert all(registry.is_local(entry) for entry in found)


def test_a_plugin_file_may_list_its_plugins_in_a_table(tmp_path: Path) -> None:
    file = tmp_path / "my_kd.py"
    file.write_text("def net(): ...\nKDZOO = {'models': {'tiny': net}}\n")
    assert [(entry.kind, entry.name) for entry in registry.load_file(str(file))] == [("models", "tiny")]
    assert registry.get("models", "my_kd.py:tiny").__name__ == "net"


def test_loading_a_plugin_file_again_replaces_what_it_brought(tmp_path: Path) -> None:
    file = tmp_path / "my_kd.py"
    file.write_text("KDZOO = {'models': {'one': int, 'two': int}}")
    registry.load_file(file)
    file.write_text("KDZOO = {'models': {'one': str}}")
    registry.load_file(file)
    assert registry.get("models", "one") is str
    assert "two" not in registry.discover("models")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1", "holds no plugin: define a subclass of Method"),
        ("KDZOO = ['mine']", "KDZOO in the plugin file .* must look like"),
        ("KDZOO = {'model': {'mine': int}}", "no kind of plugin called 'model'; did you mean 'models'"),
        ("import nowhere_to_be_found", "failed with ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("exit(1)", "failed with SystemExit: 1"),
        ("class (:", "failed with SyntaxError: .*my_kd.py, line 1"),
    ],
)
def test_a_useless_plugin_file_is_refused_with_a_sentence(tmp_path: Path, source: str, sentence: str) -> None:
    (tmp_path / "my_kd.py").write_text(source)
    with pytest.raises(PluginError, match=sentence):
        registry.load_file(tmp_path / "my_kd.py")


def test_a_missing_plugin_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"no plugin file .*nowhere.py"):
        registry.load_file(tmp_path / "nowhere.py")


def test_two_plugin_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my_kd.py").write_text("KDZOO = {'models': {'one': int}}")
    registry.load_file(tmp_path / "a" / "my_kd.py")
    with pytest.raises(PluginError, match="Two plugin files share a name"):
        registry.load_file(tmp_path / "b" / "my_kd.py")
