"""What is printed, and where: data to standard output, messages to standard error; rich only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

RED, YELLOW = "31", "33"


def on_terminal(stream: TextIO) -> bool:
    """Whether a person is likely to read `stream` now."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def main_process() -> bool:
    """Whether this process speaks for all, where torchrun started several."""
    return os.environ.get("RANK", "0") == "0"


def say(message: str) -> None:
    """A message for the person at the keyboard."""
    print(message, file=sys.stderr, flush=True)


def warn(sentence: str) -> None:
    say(f"{_colored('warning:', YELLOW)} {_on_one_line(sentence)}")


def complain(sentence: str) -> None:
    say(f"{_colored('error:', RED)} {_on_one_line(sentence)}")


def show(text: str) -> None:
    """A piece of data, as it is."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    show(json.dumps(value, indent=1))


def show_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headers on a terminal; elsewhere tab-separated lines without headers, ready for `cut` and `awk`."""
    if not on_terminal(sys.stdout):
        for row in rows:
            show("\t".join(_on_one_line(str(cell)) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console().print(table)


def _colored(text: str, color: str) -> str:
    plain = "NO_COLOR" in os.environ or not on_terminal(sys.stderr)
    return text if plain else f"\x1b[1;{color}m{text}\x1b[0m"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
