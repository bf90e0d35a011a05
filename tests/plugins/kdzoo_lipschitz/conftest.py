"""Tiny runs of LONDON beside the labels."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kdzoo.engine.run import Run
from kdzoo.testing import tiny_recipe, tiny_run

Running = Callable[..., Run]


@pytest.fixture
def running() -> Iterator[Running]:
    """`running(settings, **recipe)`: a run of LONDON, ready to step."""
    with ExitStack() as stack:

        def enter(settings: dict[str, Any] | None = None, **recipe: Any) -> Run:
            return stack.enter_context(tiny_run(tiny_recipe("london", settings, recipe=recipe)))

        yield enter
