"""Search every row's space of a bench recipe with as many trials, on validation; `bench.tuned` takes what was found."""

from __future__ import annotations

import argparse
import json
import shlex

from kdzoo.cli.arguments import add_rows
from kdzoo.terminal.bench_progress import watching
from kdzoo.terminal.console import loading, say, show_json, show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_rows(parser)


def run(args: argparse.Namespace) -> int:
    if not args.quiet:
        loading(f"torch and the rows of {args.recipe}")
    from kdzoo.benchmark.tune.search import tune

    with watching(quiet=args.quiet) as heard:
        file = tune(
            args.recipe,
            args.overrides,
            out=args.out,
            workers=args.workers,
            methods=args.methods,
            plugins=args.plugin,
            on_event=heard,
        )
    found = json.loads(file.read_text())
    if args.json:
        show_json(found)
    else:
        show_table(["row", "trials", "best on validation", "values"], [_line(*row) for row in found["rows"].items()])
    say(f"\nNow: {shlex.join(['kdzoo', 'bench', args.recipe, *args.overrides, f'bench.tuned={file}'])}")
    return 0


def _line(label: str, row: dict) -> list[str]:  # type: ignore[type-arg]
    failed = sum("error" in trial for trial in row["trials"])
    best = row["best"]
    values = "" if best is None else ", ".join(f"{path}={value}" for path, value in best["values"].items())
    trials = f"{len(row['trials'])}" + (f" ({failed} failed)" if failed else "")
    return [label, trials, "" if best is None else f"{best['validation']:.4g}", values]
