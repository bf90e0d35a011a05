"""A value that YAML reads as something else than is written is refused with its line, and never taken for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdzoo.errors import RecipeError
from kdzoo.recipe.load import load

OWN = "task: {use: image_classification, data: digits}\nstudent: mlp\nmethods: {hard_label: {}}\n"


def loaded(text: str, folder: Path) -> str:
    (folder / "own.yaml").write_text(OWN + text)
    with pytest.raises(RecipeError) as error:
        load(str(folder / "own.yaml"))
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "read"), [("010", "8"), ("0_3", "3"), ("1:30", "90"), ("12:30:45", "45045"), ("1:30.5", "90.5")]
)
@pytest.mark.parametrize("setting", ["train: {{epochs: {}}}", "name: {}", "bench: {{seeds: [{}]}}"])
def test_a_number_that_is_not_the_one_written(setting: str, value: str, read: str, tmp_path: Path) -> None:
    text = loaded(setting.format(value), tmp_path)
    assert f"own.yaml, line 4: {value} is read as the number {read}; write that number, or quotes around a text." in text


@pytest.mark.parametrize("value", ["on", "yes", "no", "off", "true"])
def test_a_boolean_is_no_text(value: str, tmp_path: Path) -> None:
    text = loaded(f"name: {value}\n", tmp_path)
    assert text.startswith("name must be text, got ")
    assert text.endswith("put a text into quotes.")
    (tmp_path / "own.yaml").write_text(f"{OWN}name: '{value}'\n")
    assert load(str(tmp_path / "own.yaml")).get("name") == value


@pytest.mark.parametrize("text", ["~: 1", "train: {~: 1}", "name: !!timestamp 2020-01-01", "train: !!set {a}"])
def test_what_no_recipe_holds_has_its_line(text: str, tmp_path: Path) -> None:
    assert "own.yaml, line 4: " in loaded(text, tmp_path)


@pytest.mark.parametrize("value", ["0", "10", "-1", "1_000", "0x10", "1e3", "0.5", "00.5", "'010'"])
def test_other_numbers_are_what_they_are(value: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"{OWN}description: {value}\n")
    load(str(tmp_path / "own.yaml"))


def test_a_number_is_refused_where_it_stands_and_not_the_section_around_it(tmp_path: Path) -> None:
    text = loaded("bench: {methods: {one: {train: {clip: 1.0e+308}}}}\n", tmp_path)
    assert text.startswith("bench.methods.one.train.clip must be between")


@pytest.mark.parametrize("text", ["student: {}", "teacher: {{use: {}}}", "train: {{epochs: {}}}", "extends: {}"])
def test_a_sentence_quotes_no_more_of_a_text_than_is_read(text: str, tmp_path: Path) -> None:
    assert len(loaded(text.format("x" * 20_000).replace("student: x", "learners: x"), tmp_path)) < 2000
