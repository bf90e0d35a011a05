"""The tiny cases are an ordinary module, which the tests import by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import text_cases


@pytest.fixture(autouse=True)
def tiny_texts() -> None:
    """The tiny data by name."""
    text_cases.register()
