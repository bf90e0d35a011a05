"""Train many methods, several seeds each, on the same samples, and compare them; what is finished is not done again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from kdzoo.cli.arguments import add_rows, count, names
from kdzoo.terminal.bench_progress import watching
from kdzoo.terminal.console import loading, say, show_json, show_table

if TYPE_CHECKING:
    from kdzoo.benchmark.report.leaderboard import Leaderboard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_rows(parser)
    parser.add_argument("--seeds", type=_seeds, metavar="N|A,B", help="a number of seeds, or the seeds themselves")
    parser.add_argument(
        "--cohort", type=count, metavar="N", help="most runs on one pass over the data; 1 trains each by itself"
    )
    parser.add_argument("--executor", choices=["pool", "ray"], default="pool", help="processes here, or a Ray cluster")
    parser.add_argument("--address", metavar="HOST:PORT", help="the Ray cluster; default one on this machine")
    parser.add_argument("--force", action="store_true", help="train everything again")
    parser.add_argument("--retry", action="store_true", help="try again what failed before")


def run(args: argparse.Namespace) -> int:
    if not args.quiet:
        loading(f"torch and the rows of {args.recipe}")
    from kdzoo.benchmark.execute.runner import bench

    with watching(quiet=args.quiet) as heard:
        board = bench(
            args.recipe,
            args.overrides,
            out=args.out,
            workers=args.workers,
            force=args.force,
            retry=args.retry,
            cohort=args.cohort,
            methods=args.methods,
            seeds=args.seeds,
            plugins=args.plugin,
            executor=args.executor,
            address=args.address,
            on_event=heard,
        )
    show_board(board, as_json=args.json)
    return 1 if board.failures else 0


def show_board(board: Leaderboard, *, as_json: bool) -> None:
    """The leaderboard to standard output; what is to be known about it, and where the report is, to standard error."""
    from kdzoo.benchmark.report.formats import sections
    from kdzoo.benchmark.report.tables import leaders

    if as_json:
        show_json(board.to_json())
    else:
        table = leaders(board)
        show_table(table.headers, table.lines)
    for title, items in sections(board).items():
        say(f"\n{title}")
        for item in items:
            say(f"- {item}")
    say(f"\nreport: {Path(board.folder) / 'report.html'}")


def _seeds(text: str) -> list[int]:
    """`3` are the seeds 0, 1, 2; `0,5` are themselves, and so is `5,`."""
    try:
        return [int(seed) for seed in names(text)] if "," in text else list(range(count(text)))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"expected how many (3) or which ones (0,1,2), got '{text}'") from None
