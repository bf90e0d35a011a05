"""Kinds of things that have names, and one row about each thing: plugins, recipes and commands alike. Imports no plugin."""

from __future__ import annotations

from collections.abc import Iterator

from kdzoo import registry
from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.registry import Entry
from kdzoo.registry.source import summary

Row = dict[str, str]
SHOWN = (
    *("methods", "recipes", "models", "data", "teachers", "tasks", "transforms", "schedules", "optimizers", "trackers"),
    *("analyses", "commands"),
)
SINGULAR = {"analyses": "analysis"}
"""Of kinds whose singular is not the plural without an s."""


def plural(kind: str) -> str:
    """A kind by its plural or singular. Raises RecipeError for anything else."""
    for known in (*SHOWN, *registry.KINDS):
        if kind in (known, SINGULAR.get(known, known.removesuffix("s"))):
            return known
    raise RecipeError(f"There is no kind of thing called '{kind}': {did_you_mean(kind, SHOWN)}")


def listed(kind: str) -> Iterator[Row]:
    """A row for each thing of a kind: kind, name, summary, distribution with its version, status."""
    if kind == "recipes":
        yield from _recipes()
        return
    if kind == "commands":
        yield from _built_in_commands()
    for name, entry in registry.discover(kind).items():
        yield _row(kind, name, entry)


def unnamed() -> Iterator[Row]:
    """A row for each distribution that is broken as a whole, so that its plugins cannot be listed."""
    for entry in registry.broken():
        if not entry.kind:
            yield _row("", entry.name, entry)


def about(entry: Entry) -> str:
    """One sentence on a plugin: its own, or its module's where its own docstring is on the settings only."""
    own = entry.summary
    return summary(entry.target.partition(":")[0]) or own if own.startswith("Args:") else own


def _row(kind: str, name: str, entry: Entry) -> Row:
    return {
        "kind": kind,
        "name": name,
        "summary": "" if entry.problem else about(entry),
        "distribution": f"{entry.distribution} {entry.version}".strip(),
        "status": f"broken: {entry.problem}" if entry.problem else "ok",
    }


def _recipes() -> Iterator[Row]:
    from kdzoo.recipe.find import available, describe, hidden

    entries = registry.discover("recipes")
    for name, path in available().items():
        if not hidden(name):
            entry = entries.get(name.split("/")[0])
            owner = f"{entry.distribution} {entry.version}" if entry else _kdzoo()
            yield {"kind": "recipes", "name": name, "summary": describe(path), "distribution": owner, "status": "ok"}


def _built_in_commands() -> Iterator[Row]:
    from kdzoo.cli.dispatch import BUILT_IN, summaries

    about = summaries()
    for name in BUILT_IN:
        yield {"kind": "commands", "name": name, "summary": about[name], "distribution": _kdzoo(), "status": "ok"}


def _kdzoo() -> str:
    from kdzoo.cli.dispatch import version

    return f"kdzoo {version()}"
