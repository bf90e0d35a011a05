"""`help(Method)` says what it is, with its formula or paper, and names every argument."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.testing.tiny import registered


@pytest.mark.parametrize("name", registered("methods"))
def test_the_help_of_a_method_begins_with_what_it_is(name: str) -> None:
    method: Any = registry.get("methods", name)
    text = inspect.cleandoc(method.__doc__ or "")
    first = text.splitlines()[0] if text else ""
    assert first
    assert not first.startswith("Args")
    explained = " ".join(base.__doc__ or "" for base in method.__mro__)
    missing = [argument for argument in inspect.signature(method).parameters if argument not in explained]
    assert not missing, f"not explained: {', '.join(missing)}"
