"""A key is text, also one that YAML 1.1 would read as a boolean, wherever a recipe may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdzoo.recipe.keys import keys_quoted
from kdzoo.recipe.overrides import parsed
from kdzoo.recipe.read import contents

WORDS = ["on", "off", "yes", "no", "On", "NO", "true"]


@pytest.mark.parametrize("word", WORDS)
def test_a_key_of_a_file_or_an_override_is_text(word: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"a: {{use: x, {word}: [{{{word}: true}}]}}\nb:\n  {word}: &same\n    {word}: 1\n  c: *same\n")
    assert contents(file) == {"a": {"use": "x", word: [{word: True}]}, "b": {word: {word: 1}, "c": {word: 1}}}
    assert parsed(f"{{{word}: hidden}}", "x=...") == {word: "hidden"}


def test_nothing_else_is_changed() -> None:
    for text in ("", "on", "a: on", "{'on': 1, \"off\": 2}", "# on: 1\na: 'on: 1'\n", "1e-3", "[on, off]"):
        assert keys_quoted(text) == text
