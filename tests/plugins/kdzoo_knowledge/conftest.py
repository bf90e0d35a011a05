"""The tiny task of `tiny.yaml`, to be changed at will; formulas are an ordinary module that test files import by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdzoo.engine.run import Run
from kdzoo.testing import tiny_recipe, tiny_run

sys.path.insert(0, str(Path(__file__).parent))

Running = Callable[..., Run]


@pytest.fixture
def recipe() -> dict[str, Any]:
    """Sections of a tiny recipe."""
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("tiny.yaml").read_text())
    return found


@pytest.fixture
def knowledge(recipe: dict[str, Any]) -> dict[str, Any]:
    """Its knowledge, as declared."""
    found: dict[str, Any] = recipe["task"]["knowledge"]
    return found


@pytest.fixture
def running(recipe: dict[str, Any]) -> Iterator[Running]:
    """`running(method, settings, **sections)`: a run ready to step."""
    with ExitStack() as stack:

        def enter(method: str, settings: dict[str, Any] | None = None, **sections: Any) -> Run:
            return stack.enter_context(tiny_run(tiny_recipe(method, settings, recipe={**recipe, **sections})))

        yield enter
