"""Compare two runs, or two rows of a bench with several seeds each: results, how sure the difference is, what differs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo.cli.arguments import add_json
from kdzoo.terminal.console import loading, say, show_json, show_table

if TYPE_CHECKING:
    from kdzoo.benchmark.report.compare_runs import TwoRuns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", help="the folder of a run, or of a bench's row with all its seeds")
    parser.add_argument("second", help="the same; differences are the first minus the second")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(f"{args.first} and {args.second}")
    from kdzoo.benchmark.report.compare_runs import compare_runs

    found = compare_runs(Path(args.first), Path(args.second))
    if args.json:
        show_json(plain(found))
    else:
        show_table(("what", found.first.label, found.second.label), list(lines(found)))
    for sentence in said(found):
        say(sentence)
    return 0


def lines(found: TwoRuns) -> Iterator[tuple[str, str, str]]:
    """Seeds, metrics, costs and differing settings of both."""
    from kdzoo.benchmark.report.figures import NAMES
    from kdzoo.benchmark.report.wording import digits, quantity, spread

    seeds = [", ".join(map(str, sorted(side.results))) for side in (found.first, found.second)]
    yield "seeds", seeds[0], seeds[1]
    for name, (a, b) in found.metrics.items():
        places = digits([a, b])
        yield f"test {name}", spread(a, places), spread(b, places)
    for name, (own, other) in found.figures.items():
        yield NAMES[name], quantity(own), quantity(other)
    for path, (one, two) in found.settings.items():
        yield path, _written(one), _written(two)


def said(found: TwoRuns) -> Iterator[str]:
    """The difference in sentences, and what makes it unequal."""
    from kdzoo.benchmark.report.wording import digits, interval, p_value, verdict

    own, metric = found.comparison, next(iter(found.metrics))
    if own is None or own.seeds.mean is None:
        yield "They have no seed in common, so nothing can be paired."
    else:
        places = digits([a for pair in list(found.metrics.values())[:1] for a in pair])
        yield f"{metric}: {own.seeds.mean:+.{places}f} at {own.seeds.n} common seed{'' if own.seeds.n == 1 else 's'}."
        if own.seeds.interval:
            yield (
                f"Over seeds, 95 %: {interval(own.seeds.interval, places)}; exact p {p_value(own.p)}, "
                f"the smallest that so many seeds can reach is {p_value(own.smallest_p)}."
            )
        else:
            yield "Over seeds nothing can be said of fewer than two: train both with at least two seeds, better five."
        if own.items:
            yield f"Over test items, 95 %: {interval(own.items, places)}."
        if own.seeds.interval:
            yield f"Finding: {verdict(own, places, higher_is_better=found.first.any['higher_is_better'])}."
        if own.needed:
            yield f"{own.needed:,} seeds would resolve {own.resolve:g}, if the spread stays."
    yield from found.warnings


def plain(found: TwoRuns) -> dict[str, Any]:
    """As JSON data."""
    return {
        "first": found.first.label,
        "second": found.second.label,
        "seeds": [sorted(side.results) for side in (found.first, found.second)],
        "metrics": {name: [asdict(a), asdict(b)] for name, (a, b) in found.metrics.items()},
        "figures": {name: list(pair) for name, pair in found.figures.items()},
        "comparison": None if found.comparison is None else asdict(found.comparison),
        "settings": {path: list(pair) for path, pair in found.settings.items()},
        "warnings": list(found.warnings),
    }


def _written(value: Any) -> str:
    return "–" if value is None else str(value)
