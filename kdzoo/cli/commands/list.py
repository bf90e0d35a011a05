"""List plugins and recipes: what there is, who brings it, and whether it is usable."""

from __future__ import annotations

import argparse

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.cli.listing import SHOWN, listed, plural, unnamed
from kdzoo.terminal.console import show_json, show_table

COLUMNS = ("name", "summary", "distribution", "status")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", help=f"one of {', '.join(SHOWN)}; default all")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    load_plugins(args)
    kind = plural(args.kind) if args.kind else None
    rows = [row for shown in ([kind] if kind else SHOWN) for row in listed(shown)]
    if kind is None:
        rows += unnamed()
    if args.json:
        show_json(rows)
        return 0
    columns = COLUMNS if kind else ("kind", *COLUMNS)
    show_table(columns, [[row[column] for column in columns] for row in rows])
    return 0
