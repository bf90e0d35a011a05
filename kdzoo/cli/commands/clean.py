"""Show what in a folder of runs can go, and remove it with --yes.

That is checkpoints of finished runs (`kdzoo analyze` sees earlier epochs by them, and a teacher that moved), temporary files of
killed processes, and teachers that no run below the folder uses. What a command works on stays.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from kdzoo.cli.arguments import add_json
from kdzoo.errors import RecipeError
from kdzoo.terminal.console import loading, say, show_json, show_table

UNITS = ("B", "KB", "MB", "GB", "TB")
WHAT: tuple[Literal["checkpoints", "temporary", "teachers"], ...] = ("checkpoints", "temporary", "teachers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default="runs", help="a folder of runs, default `runs`; all below it is looked at")
    parser.add_argument("--only", choices=WHAT, action="append", help="only these (may be repeated)")
    parser.add_argument("--yes", action="store_true", help="remove what is shown")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    root = Path(args.folder)
    if not root.is_dir():
        raise RecipeError(f"There is no folder {root}: give the folder that holds runs (`runtime.out`).")
    loading(f"the folders of runs in {root}")
    from kdzoo.engine.leftovers import KINDS, leftovers

    found = leftovers(root, args.only or KINDS)
    sizes = [each.size for each in found]
    rows = [(each.kind, _words(size), str(each.path)) for each, size in zip(found, sizes, strict=True)]
    if args.json:
        show_json([{"kind": e.kind, "bytes": s, "path": str(e.path)} for e, s in zip(found, sizes, strict=True)])
    elif found:
        show_table(("what", "size", "path"), rows, whole=True)
    if not found:
        say(f"Nothing in {root} can go.")
    elif not args.yes:
        say(f"{_words(sum(sizes))} can go; nothing is removed yet: the same command with --yes does it.")
    else:
        removed = [size for each, size in zip(found, sizes, strict=True) if each.remove()]
        busy = len(found) - len(removed)
        say(f"{_words(sum(removed))} removed" + (f"; {busy} left, as a command works there." if busy else "."))
    return 0


def _words(size: float) -> str:
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} {UNITS[-1]}"
