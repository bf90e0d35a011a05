"""Write the report of a bench anew from what its folder holds, finished or not, and show the leaderboard."""

from __future__ import annotations

import argparse

from kdzoo.cli.arguments import add_json
from kdzoo.cli.commands.bench import show_board
from kdzoo.terminal.console import loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="the folder of a bench, as `kdzoo bench` named it")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(args.folder)
    from kdzoo.benchmark.report.page import write_report
    from kdzoo.engine.files import writing

    with writing(args.folder):
        board = write_report(args.folder)
    show_board(board, as_json=args.json)
    return 0
