"""Tiny runs of one method beside the labels, inside one of their stages."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kdzoo.engine.run import Run
from kdzoo.protocol.outputs import Step
from kdzoo.testing import first_window, tiny_recipe, tiny_run

NET = {"use": "tiny_cnn", "widths": [4, 8]}
WIDER = {"use": "tiny_cnn", "widths": [6, 12]}
Running = Callable[..., Run]


@pytest.fixture
def running() -> Iterator[Running]:
    """`running(method, settings, stage=-1, **recipe)`: a run inside a stage (default: the main one), ready to step."""
    with ExitStack() as stack:

        def enter(method: str, settings: dict[str, Any] | None = None, *, stage: int = -1, **recipe: Any) -> Run:
            return stack.enter_context(tiny_run(tiny_recipe(method, settings, recipe=recipe), stage=stage))

        yield enter


def frozen(model: dict[str, Any]) -> dict[str, Any]:
    return {"use": "frozen", "model": model}


def seen(run: Run, label: str) -> Step:
    """The first training step as one method sees it."""
    return run.view(run.step(first_window(run)[0]), run.methods[label])
