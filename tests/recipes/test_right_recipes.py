"""Recipes that are right although they look odd: long texts, references, and recipes that stand inside others."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdzoo.cli.commands.check import is_override
from kdzoo.errors import RecipeError
from kdzoo.recipe.load import load

LONG = "x" * 5000
OWN = "{task: {use: image_classification, data: digits}, student: mlp, methods: {hard_label: {}}"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe in a folder, that recipes beside and above it extend."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "beside.yaml").write_text(f"{OWN}, train: {{epochs: 7}}}}")
    (tmp_path / "sub" / "base.yaml").write_text(f"{OWN}, teacher: {{use: frozen, recipe: {OWN}}}}}}}")
    return tmp_path


@pytest.mark.parametrize("word", [f"description={LONG}", f"teacher.recipe.description={LONG}", f"a/b={LONG}"])
def test_an_override_may_be_longer_than_the_name_of_a_file(word: str) -> None:
    assert is_override(word)


def test_a_long_text_in_a_teachers_recipe_is_kept(folders: Path) -> None:
    (folders / "long.yaml").write_text(f"extends: sub/base.yaml\nteacher: {{recipe: {{description: {LONG}}}}}\n")
    assert load("long.yaml").get("teachers.teacher.recipe.description") == LONG


@pytest.mark.parametrize("key", ["extends", "recipe"])
def test_a_recipe_in_place_names_the_files_beside_the_one_that_says_so(key: str, folders: Path) -> None:
    (folders / "own.yaml").write_text(f"extends: sub/base.yaml\nteacher: {{recipe: {{{key}: beside.yaml}}}}\n")
    assert "hard_label" in load("own.yaml").get("teachers.teacher.recipe.methods")


def test_what_it_extends_counts(folders: Path) -> None:
    (folders / "own.yaml").write_text("extends: sub/base.yaml\nteacher: {recipe: {extends: beside.yaml}}\n")
    assert load("own.yaml").get("teachers.teacher.recipe.train.epochs") == 7


@pytest.mark.parametrize("text", ["${oc.dict:{a: 1}}", "${a:${b:{}}}", "a ${oc.env:{HOME}} b", "${unfinished"])
@pytest.mark.parametrize("path", ["train.epochs", "name", "train.clip"])
def test_a_reference_with_inner_braces_is_no_plain_reference(text: str, path: str) -> None:
    section, _, key = path.rpartition(".")
    recipe = {"task": {"use": "image_classification", "data": "digits"}, "student": "mlp", "methods": {"hard_label": {}}}
    recipe |= {section: {key: text}} if section else {key: text}
    with pytest.raises(RecipeError, match=rf"^{path} refers to \$\{{.*only plain references"):
        load(recipe)
