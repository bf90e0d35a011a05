"""Arguments that several commands share, and a parser that complains in sentences.

Overrides (`key=value`, `~key`) may stand anywhere after the recipe, before and after options.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from kdzoo import registry
from kdzoo.errors import RecipeError

MOST = 10_000


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are RecipeErrors, with the nearest option for a misspelt one."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(
            prog=prog, description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse options and positionals in any order. Raises RecipeError."""
        parsed, unknown = self.parse_known_intermixed_args(list(arguments))
        if unknown:
            word = next((word for word in unknown if word.startswith("-")), unknown[0]).partition("=")[0]
            close = difflib.get_close_matches(word, self._option_string_actions, n=1, cutoff=0.7)
            self.error(f"unknown argument {word}{f'; did you mean {close[0]}?' if close else '.'}")
        return parsed

    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"{self.prog}: {message.rstrip('.')}{'' if message.endswith('?') else '.'} See {self.prog} --help.")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_plugins(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE.py", help="use the plugins of a Python file (may be repeated)"
    )


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """A recipe with its overrides, and the plugin files it may need."""
    parser.add_argument("recipe", help="a recipe's name (see `kdzoo list recipes`) or file, or a run folder")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="change a setting, or remove one by ~key")
    add_plugins(parser)


def add_rows(parser: argparse.ArgumentParser) -> None:
    """A recipe of a bench, which of its rows, and how and where they are trained."""
    add_recipe(parser)
    parser.add_argument("--methods", type=names, metavar="A,B", help="only these rows (and the baseline)")
    parser.add_argument("--workers", type=count, metavar="N", help="processes; default one a core, or one a GPU")
    parser.add_argument("--out", metavar="DIR", help="where the bench's folder goes; default runtime.out")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_json(parser)


def names(text: str) -> list[str]:
    """Labels from `A,B`, at least one."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"expected one name or more, as in A,B, got {text!r}")
    return found


def count(text: str) -> int:
    """How many of something there shall be: 1 to 10,000."""
    with suppress(ValueError):
        if 1 <= int(text) <= MOST:
            return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST}, got {text!r}")


def load_plugins(args: argparse.Namespace) -> None:
    """Register the plugins of the files given by `--plugin`."""
    for path in args.plugin:
        registry.load_file(path)
