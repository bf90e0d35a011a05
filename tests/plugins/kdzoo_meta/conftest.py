"""The shared cases are an ordinary module, which test files and the processes that they start import by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import meta_cases

from kdzoo.registry.entries import LOCAL


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    """The cases' plugins, for the fixtures of a module too."""
    before = dict(LOCAL)
    meta_cases.register()
    yield
    LOCAL.clear()
    LOCAL.update(before)


@pytest.fixture
def float64() -> Iterator[None]:
    """Everything in double precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
