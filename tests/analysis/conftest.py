"""Finished tiny runs, trained once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdzoo.testing.analysis import finished_tiny_run


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder() -> Path:
    """KD on 44 digits for three epochs, with all its checkpoints."""
    return finished_tiny_run()
