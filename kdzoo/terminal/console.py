"""What is printed, and where: data to standard output, messages to standard error; colors only on a terminal.

A message that nobody can read any more ends nothing: a training goes on when its terminal, or the `head` behind it, is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any, TextIO

RED, YELLOW = "31", "33"
NARROWEST = 24
"""Columns that a wrapped cell gets at least, however narrow the terminal."""


def on_terminal(stream: TextIO | None) -> bool:
    """Whether a person is likely to read `stream` now."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # it is closed
        return False


def main_process() -> bool:
    """Whether this process speaks for all, where torchrun started several."""
    return os.environ.get("RANK", "0") == "0"


def say(message: str) -> None:
    """A message for the person at the keyboard, lost where standard error is closed."""
    if sys.stderr is None:
        return
    try:
        print(message, file=sys.stderr, flush=True)
    except (BrokenPipeError, ValueError):  # whoever read it has gone
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def loading(what: str) -> None:
    """Say what is being done where that may take seconds, for people only."""
    if on_terminal(sys.stderr) and main_process():
        say(f"Loading {what} ...")


def warn(sentence: str) -> None:
    say(f"{_colored('warning:', YELLOW)} {_on_one_line(sentence)}")


def complain(sentence: str) -> None:
    say(f"{_colored('error:', RED)} {_on_one_line(sentence)}")


def show(text: str) -> None:
    """A piece of data, as it is."""
    if sys.stdout is not None:
        print(text, flush=True)


def show_json(value: Any) -> None:
    show(json.dumps(value, indent=1))


def show_table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, whole: bool = False) -> None:
    """Rows under headers on a terminal; elsewhere tab-separated lines without headers, ready for `cut` and `awk`.

    Args: whole: never break the last column, whose cells are folders or commands that somebody may copy.
    """
    cells = [[_on_one_line(str(cell)) for cell in row] for row in rows]
    if on_terminal(sys.stdout):
        first, *lines = drawn(headers, cells, shutil.get_terminal_size().columns, whole=whole)
        bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        show("\n".join([f"\x1b[1m{first}\x1b[0m" if bold else first, *lines]))
        return
    for row in cells:
        show("\t".join(row))


def drawn(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, whole: bool = False) -> list[str]:
    """The lines of a table, nothing cut: the last column is wrapped between words, longer lines are left to the terminal."""
    table = [list(headers), *map(list, rows)]
    widths = [max(_cells(row[column]) for row in table) for column in range(len(headers))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(width - indent, NARROWEST)
    lines = []
    for row in table:
        start = "".join(cell + " " * (own - _cells(cell) + 2) for cell, own in zip(row[:-1], widths, strict=False))
        ends = [row[-1]] if whole else textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False)
        first, *further = ends or [""]
        lines += [(start + first).rstrip(), *(" " * indent + end for end in further)]
    return lines


def visible(text: str) -> str:
    """The text with its control characters written out, so that a label cannot move the cursor; newlines stay."""
    return "".join(letter if letter == "\n" or unicodedata.category(letter) != "Cc" else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return "\t" if letter == "\t" else f"\\x{ord(letter):02x}"


def _cells(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _colored(text: str, color: str) -> str:
    plain = "NO_COLOR" in os.environ or not on_terminal(sys.stderr)
    return text if plain else f"\x1b[1;{color}m{text}\x1b[0m"


def _on_one_line(text: str) -> str:
    return visible(" ".join(text.split()))
