from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.recipe.find import available, hidden
from kdzoo.recipe.load import load


@pytest.mark.parametrize("name", [name for name in available() if not hidden(name)])
def test_a_copied_recipe_loads_from_anywhere_to_the_same(kdzoo: Callable[..., Any], name: str, tmp_path: Path) -> None:
    code, out, _ = kdzoo("cp", name, tmp_path / "mine" / "own.yaml")
    copied, original = load(tmp_path / "mine" / "own.yaml").settings, load(name).settings
    assert (code, out) == (0, f"{tmp_path}/mine/own.yaml\n")
    assert {**copied, "name": ""} == {**original, "name": ""}


def test_a_folder_keeps_the_recipes_name(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert kdzoo("cp", "digits/kd", "mine")[1] == "mine/kd.yaml\n"


def test_comments_survive(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("student: mlp  # a small one\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.yaml").write_text("# mine\nextends: ../base.yaml  # the base\n")
    kdzoo("cp", "other/a.yaml", "b.yaml")
    assert (tmp_path / "b.yaml").read_text() == f"# mine\nextends: {tmp_path}/base.yaml  # the base\n"


def test_an_existing_file_is_only_replaced_by_force(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("mine")
    code, _, err = kdzoo("cp", "digits/kd", "own.yaml")
    assert (code, err) == (2, "error: own.yaml exists already; choose another name, or replace it by --force.\n")
    assert (tmp_path / "own.yaml").read_text() == "mine"
    assert kdzoo("cp", "digits/kd", "own.yaml", "--force")[0] == 0
    assert load(tmp_path / "own.yaml").settings["methods"]


def test_an_unwritable_place_is_one_sentence(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = kdzoo("cp", "digits/kd", "file/own.yaml")
    assert code == 2
    assert err == "error: file/own.yaml cannot be written (file: File exists); choose another place.\n"


def test_a_disk_that_fills_up_leaves_nothing(
    kdzoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, text: Any, *args: Any, **kwargs: Any) -> None:
        with self.open("w") as file:
            file.write(text[:10])
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_text", full)
    code, _, err = kdzoo("cp", "digits/kd", "own.yaml")
    assert code == 2
    assert "No space left on device" in err
    assert not list(tmp_path.iterdir())
