"""Commands as a user types them, in this process."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.cli import card_cache, main

TINY = """\
description: "Sixteen hidden units on the digits"
task: {use: image_classification, data: digits}
student: {use: mlp, hidden: [16]}
methods: {hard_label: {}}
train: {epochs: 2}
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder, with no local plugins but those that the test brings, and a cache of cards for all tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(card_cache, "FOLDER", tmp_path_factory.getbasetemp() / "cards")
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    yield
    for name in [name for name in sys.modules if name.startswith("kdzoo_file_")]:
        del sys.modules[name]
    registry.refresh()


@pytest.fixture
def kdzoo(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`kdzoo("list", "methods")` -> exit code, standard output, standard error."""

    def run(*words: Any) -> tuple[Any, Any]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """A recipe that trains in a moment."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path
