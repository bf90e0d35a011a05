"""What the registry knows of a plugin before importing it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdzoo.registry.source import first_sentence, summary

PROTOCOL = 1
"""The plugin protocol that this kdzoo speaks. A distribution names the one it was written for in the group `kdzoo.protocol`."""

KINDS: dict[str, str] = {
    kind: f"kdzoo.{kind}"
    for kind in (
        "methods",
        "transforms",
        "teachers",
        "tasks",
        "data",
        "models",
        "schedules",
        "optimizers",
        "trackers",
        "analyses",
        "recipes",
        "commands",
        "loops",
    )
}
"""Kind of plugin -> its group of entry points."""

IN_PROCESS = "in-process"
FILE_SUFFIX = ".py"  # a normalized distribution name holds no dot, so a plugin file's name is never mistaken for one


@dataclass(frozen=True)
class Entry:
    """One plugin.

    Attributes:
        kind, name: what a recipe calls it.
        target: `module:attribute`, or just a module (recipes).
        distribution, version: who brings it; for a plugin file its name and a hash of its text.
        problem: why it cannot be used, as far as known; None if nothing is.
    """

    kind: str
    name: str
    target: str
    distribution: str
    version: str
    problem: str | None = None

    @property
    def summary(self) -> str:
        """The first sentence of its docstring, read from the source without importing it; '' if there is none."""
        if self in LOCAL:
            return first_sentence(getattr(LOCAL[self], "__doc__", None) or "")
        return summary(self.target)

    @property
    def qualified(self) -> str:
        """The name that stays unambiguous: `distribution:name`."""
        return f"{self.distribution}:{self.name}"


LOCAL: dict[Entry, object] = {}
"""Plugins that live in this process only, with their objects: what `register` and `load_file` have brought."""


def is_local(entry: Entry) -> bool:
    """Whether the plugin is in no installed distribution, so that others cannot repeat its results by installing it."""
    return entry.distribution == IN_PROCESS or entry.distribution.endswith(FILE_SUFFIX)


def normalized(distribution: str) -> str:
    """The name of a distribution as package indexes compare it: `Kdzoo_Example` is `kdzoo-example`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
