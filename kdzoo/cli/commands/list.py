"""List plugins and recipes: what there is, who brings it, and whether it is usable."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.cli.listing import SHOWN, Row, listed, plural, unnamed
from kdzoo.terminal.console import on_terminal, say, show_json, show_table, warn

MANY = 40
"""Names of a kind that are shown where all kinds are."""
COLUMNS = ("name", "summary", "distribution", "status")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", help=f"one of {', '.join(SHOWN)}; default: of each kind, how many and their names")
    parser.add_argument("--all", action="store_true", help="a line for everything of every kind")
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
    if kind is None and not args.all:
        _overview(rows)
        return 0
    columns = COLUMNS if kind else ("kind", *COLUMNS)
    show_table(columns, [[row[column] for column in columns] for row in rows])
    return 0


def _overview(rows: Sequence[Row]) -> None:
    """Of each kind how many there are and what they are called; what is broken is said apart."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row["kind"]:
            names.setdefault(row["kind"], []).append(row["name"])
    show_table(("kind", "number", "names"), [(kind, str(len(own)), _shortened(own)) for kind, own in names.items()])
    for row in rows:
        if row["status"] != "ok":
            warn(f"{row['name']} of {row['distribution']} is {row['status']}")
    if on_terminal(sys.stderr):
        say("`kdzoo list methods` says what each is, `kdzoo list --all` everything, `kdzoo show method kd` one of them.")


def _shortened(names: Sequence[str]) -> str:
    """The names, or the first folders of them where they are many."""
    if len(names) <= MANY:
        return ", ".join(names)
    groups = Counter(name.partition("/")[0] for name in names)
    if len(groups) < len(names) / 2:
        return ", ".join(f"{group}/ ({count})" if count > 1 else group for group, count in groups.items())
    return ", ".join(names)
