"""From the first word to the command it names: a built-in one, or one that a distribution brings (kind `commands`)."""

from __future__ import annotations

import argparse
import functools
import importlib
from collections.abc import Sequence
from typing import Protocol, cast

from kdzoo import registry
from kdzoo.cli.arguments import Parser
from kdzoo.errors import PluginError, RecipeError, did_you_mean
from kdzoo.registry.source import summary
from kdzoo.terminal.console import show

BUILT_IN = (
    *("run", "bench", "tune", "report", "leaderboard", "compare", "analyze"),
    *("list", "show", "check", "cp", "eval", "export", "new", "data", "cache", "clean", "doctor"),
)
HELP = ("-h", "--help", "help")


class Command(Protocol):
    """What an entry point of the group `kdzoo.commands` names: a module-like object, or a class made without arguments.

    Its docstring's first sentence is the command's line in `kdzoo --help`.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare options and positionals."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code. A KdzooError raised here is printed as its sentence."""


def dispatch(arguments: Sequence[str]) -> int:
    """Carry out the command that the first argument names; the exit code.

    Raises:
        RecipeError: there is no such command, or its arguments are wrong.
        PluginError: a third party's command is broken.
    """
    arguments = [word for word in arguments if word != "--debug"] or ["--help"]
    name, rest = arguments[0], arguments[1:]
    if name in HELP and rest:
        name, rest = rest[0], ["--help"]
    if name in HELP:
        show(_overview())
        return 0
    if name == "--version":
        show(f"kdzoo {version()}")
        return 0
    command, about = find(name)
    parser = Parser(prog=f"kdzoo {name}", description=about)
    command.add_arguments(parser)
    return command.run(parser.parse(rest))


def find(name: str) -> tuple[Command, str]:
    """A command by name, and what it is about. A built-in one wins over a stranger of the same name."""
    if name in BUILT_IN:
        module = importlib.import_module(f"kdzoo.cli.commands.{name}")
        return cast(Command, module), module.__doc__ or ""
    known = registry.discover("commands")
    if name not in known:
        raise RecipeError(f"There is no command '{name}': {did_you_mean(name, (*BUILT_IN, *known))}")
    found = registry.get("commands", name)
    command = found() if isinstance(found, type) else found
    if not (hasattr(command, "add_arguments") and hasattr(command, "run")):
        entry = known[name]
        raise PluginError(
            f"The command '{name}' of {entry.distribution} {entry.version} is a {type(command).__name__} without "
            "add_arguments(parser) and run(args); see kdzoo.cli.dispatch.Command."
        )
    return cast(Command, command), type(command).__doc__ or ""


def summaries() -> dict[str, str]:
    """Every command with one line about it, the built-in ones first; nothing is imported."""
    others = {name: entry.summary for name, entry in registry.discover("commands").items() if name not in BUILT_IN}
    return {name: summary(f"kdzoo.cli.commands.{name}") for name in BUILT_IN} | others


def _overview() -> str:
    lines = [f"  {name:11} {line}" for name, line in summaries().items()]
    return "\n".join(
        [
            "usage: kdzoo COMMAND [arguments] [--debug]",
            "",
            "Knowledge distillation: one engine, a registry of methods, recipes, and fair comparisons.",
            "",
            *lines,
            "",
            "kdzoo COMMAND --help says more. Exit codes: 0 ok, 1 run failed, 2 user's mistake, 3 something is missing, 130",
            "interrupted.",
        ]
    )


@functools.cache
def version() -> str:
    """The version of the installed kdzoo."""
    from importlib import metadata

    return metadata.version("kdzoo")
