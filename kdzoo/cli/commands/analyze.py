"""Analyze finished runs: what their models say, how sure they are of it, and what is inside them; with figures."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kdzoo import registry
from kdzoo.cli.arguments import add_json, add_plugins, load_plugins, names
from kdzoo.cli.commands.check import is_override
from kdzoo.errors import RecipeError
from kdzoo.terminal.console import loading, say, show, show_json, show_table

if TYPE_CHECKING:
    from kdzoo.protocol.analysis import Findings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", type=names, metavar="NAME[,NAME]", help="analyses (see `kdzoo list analyses`); each run is measured once"
    )
    parser.add_argument(
        "words", nargs="*", metavar="RUN | key=value", help="run folders, or that of a bench; settings of the analyses"
    )
    parser.add_argument(
        "--labels", type=names, default=[], metavar="A,B", help="what the runs are called; default their recipes' names"
    )
    parser.add_argument("--weights", choices=("last", "best"), default="last", help="of which epoch; best on validation")
    parser.add_argument("--device", help="auto, cpu or cuda; default what the recipe says")
    parser.add_argument("--out", metavar="DIR", help="where to; default `analyses` in the run folder")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(f"torch and {', '.join(args.names)}")
    load_plugins(args)
    folders = [word for word in args.words if not is_override(word)]
    if not folders:
        known = ", ".join(registry.discover("analyses")) or "none is installed"
        raise RecipeError(f"kdzoo analyze takes the folder of a finished run after the names of analyses ({known}).")
    from kdzoo.analysis.analyses import analyze, target_of

    found = analyze(
        args.names,
        folders,
        overrides=[word for word in args.words if is_override(word)],
        labels=args.labels,
        weights=args.weights,
        device=args.device,
        out=args.out,
    )
    if args.json:
        from kdzoo.analysis.render import jsonable

        show_json({name: jsonable(findings.values) for name, findings in found.items()})
    else:
        _tables(found)
    for name, findings in found.items():
        for note in findings.notes:
            say(f"{name}: {note}")
        say(f"{name}: {target_of(name, folders, Path(args.out) if args.out else None) / 'report.html'}")
    return 0


def _tables(found: Mapping[str, Findings]) -> None:
    from kdzoo.analysis.render import shown

    for name, findings in found.items():
        for table in findings.tables:
            show(f"{name}: {table.title}")
            show_table(table.headers, [[shown(field) for field in row] for row in table.rows])
