"""Say which data sets are on this machine, where, and how to get the others."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdzoo.cli.arguments import add_json
from kdzoo.terminal.console import loading, show_json, show_table

FOUND = {True: "found", False: "missing", None: "you name the folder"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", metavar="DIR", help="a folder to look in first (the setting paths.data)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading("the list of data sets")
    from kdzoo.data.status import status

    sets = status(Path(args.root) if args.root else None)
    if args.json:
        show_json(sets)
        return 0
    rows = [(s["name"], FOUND[s["found"]], _size(s["size"]), s["license"], s["where"] or s["get"]) for s in sets]
    show_table(("name", "status", "size", "license", "where, or how to get it"), rows, whole=True)
    return 0


def _size(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f} MB"
