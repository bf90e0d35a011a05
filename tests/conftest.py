"""One thread a process, as torch's default of two stalls when the other core is busy; and no test leaves plugins behind."""

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_SILENT", "true")


@pytest.fixture(autouse=True)
def local_plugins() -> Iterator[None]:
    """In-process registrations last as long as the test that made them."""
    from kdzoo.registry.entries import LOCAL

    before = dict(LOCAL)
    yield
    LOCAL.clear()
    LOCAL.update(before)


@pytest.fixture
def only_installed_plugins(local_plugins: None) -> None:
    """Without what other test modules have registered in this process as they were imported."""
    from kdzoo.registry.entries import LOCAL

    LOCAL.clear()
