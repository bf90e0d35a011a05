"""Merge the folders of benches, from several machines or of several pairs, into one leaderboard; every run counts once."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdzoo.cli.arguments import add_json
from kdzoo.cli.commands.bench import show_board
from kdzoo.terminal.console import loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="[name=]folder",
        help="folders of benches; with the names of their pairs or data sets, rows are ranked over these",
    )
    parser.add_argument("--out", metavar="DIR", help="where the report goes; default `leaderboard` beside the first folder")
    parser.add_argument("--baseline", metavar="ROW", help="the row to compare with; default the first folder's")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading("the folders of benches")
    from kdzoo.benchmark.report.merge import leaderboard_of, named
    from kdzoo.engine.files import writing

    out = Path(args.out) if args.out else named(args.folders[0])[1].resolve().parent / "leaderboard"
    with writing(out):
        board = leaderboard_of(args.folders, out, baseline=args.baseline)
    show_board(board, as_json=args.json)
    return 0
