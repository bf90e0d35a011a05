"""Which data sets are on this machine: of every installed source that says so by `available(root) -> Availability`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdzoo import registry
from kdzoo.errors import PluginError


def status(root: Path | None = None) -> list[dict[str, Any]]:
    """For each source: name, found (None where the user names the place), where, size in bytes, license, get.

    `root` is the `paths.data` setting. No data are read.
    """
    return [asdict(source.available(root)) | {"name": name} for name, source in _sources() if hasattr(source, "available")]


def _sources() -> list[tuple[str, Any]]:
    """Those that can be loaded; `kdzoo list data` has the others, with what is wrong."""
    found = []
    for name in registry.discover("data"):
        try:
            found.append((name, registry.get("data", name)))
        except PluginError:
            continue
    return found
