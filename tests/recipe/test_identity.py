"""Which changes make another run, and which do not."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kdzoo import registry
from kdzoo.errors import RecipeError
from kdzoo.recipe.family import family_files, family_hash
from kdzoo.recipe.identity import identity, relevant
from kdzoo.recipe.load import load
from kdzoo.registry.entries import LOCAL

BASE = {"student": "net", "methods": {"soft": {}, "plain": {}}}


def of(recipe: Any = None, *overrides: Any, files: Any = None) -> Any:
    return identity(load(BASE | (recipe or {}), overrides).settings, files=files or {})


def test_it_is_sixteen_hexadecimal_digits_and_repeats() -> None:
    assert re.fullmatch("[0-9a-f]{16}", of())
    assert of() == of()


@pytest.mark.parametrize(
    "override",
    ["runtime.threads=2", "runtime.trackers=[log]", "paths.data=/x", "name=n", "description=d", "bench={a: 1}"],
)
def test_what_cannot_change_a_result_makes_no_other_run(override: str) -> None:
    assert of(None, override) == of()


@pytest.mark.parametrize(
    "override",
    ["seed=1", "train.epochs=3", "methods.soft.temperature=5", "task.folds=2", "student=wide", "optimizers.student.lr=1"],
)
def test_what_may_change_a_result_makes_another_run(override: str) -> None:
    assert of(None, override) != of()


def test_a_default_written_out_makes_no_other_run() -> None:
    assert of({"methods": {"soft": {"use": "soft", "temperature": 4}, "plain": None or {}}}) == of()


def test_the_order_of_methods_counts() -> None:
    assert of({"methods": {"plain": {}, "soft": {}}}) != of()


def test_version_and_distribution_of_a_plugin_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = of()
    entry = registry.entry("models", "net")
    net = LOCAL.pop(entry)
    LOCAL[dataclasses.replace(entry, version="2.0")] = net
    assert of() != before


def test_the_source_of_a_plugin_counts(tmp_path: Path) -> None:
    file = tmp_path / "own_net.py"
    seen = set()
    for code in ("return None", "return 1"):
        file.write_text(f"def build(*, width: int = 1):\n    {code}\nKDZOO = {{'models': {{'own': build}}}}\n")
        registry.load_file(file)
        entry = registry.entry("models", "own")
        LOCAL[dataclasses.replace(entry, version="")] = LOCAL.pop(entry)
        seen.add(of({"student": "own"}))
    assert len(seen) == 2
    del sys.modules["kdzoo_file_own_net"]


def test_the_content_of_a_file_counts_and_its_name_does_not(tmp_path: Path) -> None:
    def with_file(name: str, text: Any, key: str = "teachers.teacher.checkpoint") -> Any:
        (tmp_path / name).write_text(text)
        return of({"teacher": {"use": "fixed", "checkpoint": name}}, files={key: tmp_path / name})

    assert with_file("a", "1") == with_file("b", "1") == with_file("c", "1", key=".teachers.teacher.checkpoint")
    assert with_file("a", "1") != with_file("a", "2")


def test_a_file_that_no_setting_names_counts_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    assert of(files={"data": tmp_path / "a"}) != of()


def test_a_nested_recipe_counts_without_its_name_and_folders() -> None:
    def nested(**inner: Any) -> Any:
        return of({"teacher": {"use": "fixed", "recipe": {"student": "wide"} | inner}})

    assert nested(name="a") == nested(name="b") == nested(description="d")
    assert nested(seed=1) != nested(seed=2)


def test_python_objects_count_by_their_content() -> None:
    torch.manual_seed(0)
    net = nn.Linear(2, 2)
    same = nn.Linear(2, 2)
    same.load_state_dict(net.state_dict())
    assert of({"student": net}) == of({"student": same})
    assert of({"student": net}) != of({"student": nn.Linear(2, 2)})


def test_structure_counts_where_the_weights_do_not_show_it() -> None:
    def conv(stride: Any) -> Any:
        module = nn.Conv2d(1, 1, 3, stride=stride)
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
        return module

    assert of({"student": conv(1)}) == of({"student": conv(1)})
    assert of({"student": conv(1)}) != of({"student": conv(2)})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(3), torch.ones(3)),
        (torch.zeros(3), torch.zeros(3, dtype=torch.bfloat16)),
        (torch.zeros(3), torch.zeros(1, 3)),
        (torch.tensor(1), torch.tensor(2)),
        (np.zeros(3), np.ones(3)),
        (np.float64(1), np.float64(2)),
        (nn.Linear, nn.Conv2d),
        (frozenset({"a"}), frozenset({"b"})),
        (dataclasses.make_dataclass("A", ["x"])(1), dataclasses.make_dataclass("A", ["x"])(2)),
    ],
)
def test_objects_in_the_data_count_by_their_content(one: Any, other: Any) -> None:
    def with_images(images: Any) -> Any:
        return of({"task": {"data": {"use": "source", "images": images}}})

    assert with_images(one) == with_images(one)
    assert with_images(one) != with_images(other)


def test_an_object_without_visible_content_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"cannot be hashed \(a generator has no content to hash\): register it"):
        of({"task": {"data": {"use": "source", "images": (n for n in [1])}}})


def test_relevant_leaves_out_what_cannot_change_a_result() -> None:
    kept = relevant(load(BASE).settings)
    assert {"runtime", "paths", "name", "description", "reference", "bench"}.isdisjoint(kept)
    assert {"seed", "task", "student", "teachers", "methods", "schedules", "optimizers", "train"} <= kept.keys()


def test_it_is_the_same_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the installed plugins are back
    LOCAL.clear()
    code = (
        "from kdzoo.recipe.load import load; from kdzoo.recipe.identity import identity;"
        "recipe = load({'task': {'data': 'digits'}, 'student': 'tiny_cnn', 'methods': {'hard_label': {}}});"
        "print(identity(recipe.settings, files={}))"
    )
    here = load({"task": {"data": "digits"}, "student": "tiny_cnn", "methods": {"hard_label": {}}}).settings
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == identity(here, files={})


# -- a plugin's family --------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`package(file=text)` writes modules of a package `own_family` and gives what they hash to with `own_family.plugin`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_family" / "deep").mkdir(parents=True)

    def write(**files: Any) -> Any:
        for name, text in files.items():
            (tmp_path / "own_family" / f"{name.replace('__', '/')}.py").write_text(text)
        return family_hash("own_family.plugin")

    write(
        plugin="from own_family import shared\nfrom own_family.deep.near import f\n",
        shared="A = 1\n",
        alone="B = 1\n",
        deep__near="def f():\n    from ..far import C\n    return C\n",
        far="C = 1\nimport own_family.plugin\n",
    )
    return write


@pytest.mark.parametrize("file", ["plugin", "shared", "deep__near", "far"])
def test_a_shared_module_of_a_plugins_family_counts_however_far_it_is_imported(package: Callable[..., Any], file: str) -> None:
    before = package()
    assert package(**{file: "from own_family import shared, far\nfrom own_family.deep import near\nD = 2\n"}) != before


def test_a_module_that_the_plugin_does_not_import_makes_no_other_run(package: Callable[..., Any]) -> None:
    assert package() == package(alone="B = 2\n")


@pytest.mark.parametrize("folder", ["venv/lib/python3.11/site-packages", "usr/lib/python3/dist-packages"])
def test_libraries_of_another_environment_are_not_read(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_plugin_of_a_family.py").write_text("import a_library_elsewhere, own_helper_beside\n")
    (tmp_path / "own_helper_beside.py").write_text("A = 1\n")
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "a_library_elsewhere.py").write_text("B = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / folder), *sys.path])
    assert set(family_files("own_plugin_of_a_family")) == {"own_plugin_of_a_family", "own_helper_beside"}


def test_the_family_of_a_method_is_its_package_and_not_the_engine() -> None:
    found = family_files("kdzoo_features.ft")
    assert "kdzoo_features.ft" in found
    assert len(found) > 1
    assert all(name.startswith("kdzoo_features.") for name in found)


def test_the_family_of_a_built_in_plugin_is_its_folder() -> None:
    assert {name.rpartition(".")[0] for name in family_files("kdzoo.teachers.frozen")} == {"kdzoo.teachers"}


def test_identity_counts_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    monkeypatch.setattr(registry, "is_local", lambda entry: False)
    for code in ("one", "other"):
        monkeypatch.setattr("kdzoo.recipe.identity.installed", lambda module, code=code: code)
        seen.add(of())
    assert len(seen) == 2
