"""Every recipe that is shipped loads, with all its names and settings checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdzoo.recipe.find import available, hidden
from kdzoo.recipe.load import load

NAMES = sorted(name for name in available() if not hidden(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_loads(name: str) -> None:
    settings = load(name).settings
    assert settings["methods"]
    assert load(name).settings == settings


def test_the_plain_kd_recipe_is_short() -> None:
    lines = Path(available()["digits/kd"]).read_text().splitlines()
    assert len(lines) <= 25
