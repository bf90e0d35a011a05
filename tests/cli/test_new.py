import ast
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.registry import PROTOCOL


def test_a_new_plugin_has_everything(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    code, out, err = kdzoo("new", "plugin", "kdzoo-my-own")
    files = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "kdzoo-my-own").rglob("*") if path.is_file()}
    assert (code, out) == (0, "kdzoo-my-own\n")
    assert "pip install -e 'kdzoo-my-own[test]'" in err
    assert files == {
        "kdzoo-my-own/pyproject.toml",
        "kdzoo-my-own/README.md",
        "kdzoo-my-own/kdzoo_my_own/__init__.py",
        "kdzoo-my-own/kdzoo_my_own/my_own.py",
        "kdzoo-my-own/kdzoo_my_own/recipes/digits.yaml",
        "kdzoo-my-own/tests/test_my_own.py",
    }


def test_its_entry_points_name_what_is_there(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    kdzoo("new", "plugin", "another", "--out", "there")
    project = tomllib.loads((tmp_path / "there" / "another" / "pyproject.toml").read_text())["project"]
    module = ast.parse((tmp_path / "there" / "another" / "another" / "another.py").read_text())
    assert project["name"] == "another"
    assert project["entry-points"]["kdzoo.protocol"] == {str(PROTOCOL): "another"}
    assert project["entry-points"]["kdzoo.methods"] == {"another": "another.another:Another"}
    assert "Another" in [node.name for node in module.body if isinstance(node, ast.ClassDef)]


def test_no_placeholder_is_left(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    kdzoo("new", "plugin", "kdzoo-mine")
    texts = [path.read_text() for path in (tmp_path / "kdzoo-mine").rglob("*") if path.is_file()]
    assert not [text for text in texts if "@DIST" in text or "@PACK" in text or "@METHOD@" in text or "@CLASS@" in text]


def test_the_contract_is_five_lines(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    kdzoo("new", "plugin", "kdzoo-mine")
    lines = (tmp_path / "kdzoo-mine" / "tests" / "test_mine.py").read_text().splitlines()
    assert [line for line in lines if line] == [
        "from kdzoo.testing import MethodContract",
        "class TestMine(MethodContract):",
        '    method = "mine"',
    ]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("kd", "There is a method 'kd' already"),
        ("kdzoo-dkd", "There is a method 'dkd' already"),
        ("json", "There is a Python package 'json' already"),
        ("My Method", "cannot be the name of a plugin"),
        ("kdzoo-class", "cannot be the name of a plugin"),
        ("../up", "cannot be the name of a plugin"),
    ],
)
def test_a_name_that_cannot_be_is_refused(kdzoo: Callable[..., Any], tmp_path: Path, name: str, part: str) -> None:
    code, _, err = kdzoo("new", "plugin", name)
    assert code == 2
    assert part in err
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_not_touched(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "kdzoo-mine").mkdir()
    code, _, err = kdzoo("new", "plugin", "kdzoo-mine")
    assert (code, err) == (2, "error: kdzoo-mine exists already; choose another name, or remove it.\n")
    assert not list((tmp_path / "kdzoo-mine").iterdir())


def test_an_unwritable_place_leaves_nothing(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = kdzoo("new", "plugin", "kdzoo-mine", "--out", "file/below")
    assert code == 2
    assert "file/below/kdzoo-mine cannot be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_up_leaves_nothing(
    kdzoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, *args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_text", full)
    code, _, err = kdzoo("new", "plugin", "kdzoo-mine")
    assert code == 2
    assert "No space left on device" in err
    assert not list(tmp_path.iterdir())
