"""No plugin takes a setting that it does not look at, nor keeps one where nobody does."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.recipe.schema import schema_for
from kdzoo.testing.tiny import registered

KINDS = ("methods", "transforms", "teachers", "tasks", "data", "models", "schedules", "optimizers", "trackers", "analyses")
ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text() for folder in ("kdzoo", "plugins") for path in (ROOT / folder).rglob("*.py")]


def attributes(tree: ast.AST, of: type[ast.expr_context]) -> set[str]:
    """Names of attributes that code reads (`ast.Load`) or writes (`ast.Store`)."""
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, of)}


READ_SOMEWHERE = set[str]().union(*(attributes(ast.parse(text), ast.Load) for text in SOURCES))


def built_in() -> Iterator[Any]:
    for kind in KINDS:
        for name in registered(kind):
            if registry.entry(kind, name).distribution == "kdzoo" and schema_for(kind, name).fields:
                yield pytest.param(kind, name, id=f"{kind}.{name}")


def constructor(plugin: Callable[..., Any]) -> tuple[ast.AST, set[str]]:
    """The code that takes the settings, and what plans read of them by name."""
    code = plugin.__init__ if isinstance(plugin, type) else plugin  # type: ignore[misc]
    expand = getattr(plugin, "expand", None)
    named = set(re.findall(r"\"(\w+)\"", inspect.getsource(inspect.getmodule(expand)))) if expand else set()  # type: ignore[arg-type]
    return ast.parse(textwrap.dedent(inspect.getsource(code))), named


@pytest.mark.parametrize(("kind", "name"), list(built_in()))
def test_each_parameter_is_read(kind: str, name: str) -> None:
    plugin = registry.get(kind, name)
    tree, named = constructor(plugin)
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)} | named
    given = set(inspect.signature(plugin).parameters)
    assert not given - read, "accepted and ignored"
    assert not attributes(tree, ast.Store) - READ_SOMEWHERE, "kept where nobody reads it"
