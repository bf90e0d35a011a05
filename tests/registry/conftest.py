"""Distributions made for one test: modules, their metadata, and a folder on the path."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.registry.entries import LOCAL


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """A test starts without local plugins, and leaves neither plugins nor modules nor folders on the path."""
    local, path, modules = dict(LOCAL), list(sys.path), set(sys.modules)
    LOCAL.clear()
    registry.refresh()
    yield
    LOCAL.clear()
    LOCAL.update(local)
    sys.path[:] = path
    for name in sys.modules.keys() - modules:
        if name.startswith(("plugin", "kdzoo_file_")):
            del sys.modules[name]
    registry.refresh()


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Any]:
    """`install("kdzoo-example", entry_points, plugin_a="source")`: what pip would leave behind, in a folder on the path."""

    def install(name: str, entry_points: Any, *, version: str = "1.0", folder: Path | None = None, **modules: Any) -> Path:
        folder = folder or tmp_path / "site"
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(source))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        registry.refresh()
        return folder

    return install
