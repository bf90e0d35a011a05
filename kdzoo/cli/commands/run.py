"""Train a recipe; a run that was interrupted goes on, one that is finished is not repeated.

A run folder in the recipe's place is that run: the rest of it, or, if it is finished, the same once more in `again` within it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo.cli.arguments import add_json, add_recipe, load_plugins
from kdzoo.cli.sameness import compare
from kdzoo.terminal.console import loading, main_process, show_json, show_table

if TYPE_CHECKING:
    from kdzoo.engine.results import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("--force", action="store_true", help="train again, even if this run is finished or under way")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    if not args.quiet:
        loading(f"torch and the recipe {args.recipe}")
    from kdzoo.api import train
    from kdzoo.engine import again
    from kdzoo.recipe.load import load

    load_plugins(args)
    before = Path(args.recipe) if again.is_run_folder(args.recipe) else None
    recipe = load(again.recipe_of(before) if before else args.recipe, args.overrides)
    place = again.place_of(before, recipe, force=args.force) if before and not args.overrides else None
    result = train(recipe, folder=place, force=args.force, progress=not args.quiet)
    if main_process():
        show_result(result, as_json=args.json)
        if before and place == before / again.AGAIN:
            _compare(result, before)
    return 0


def _compare(result: Result, before: Path) -> None:
    """Whether a repetition ended as the run did."""
    from kdzoo.engine.assemble import device_of
    from kdzoo.engine.files import read_json
    from kdzoo.engine.provenance import Made
    from kdzoo.recipe.load import load

    settings = load(before / "recipe.yaml").settings
    said = (read_json(before / "result.json") or {}).get("test", {}).get("last", {})
    if said:
        compare(
            result.values["test"]["last"],
            said,
            Made.read(before).differences(settings, device_of(settings["runtime"]["device"])),
        )


def show_result(result: Result, *, as_json: bool) -> None:
    """Print the run folder and the test metrics."""
    if as_json:
        show_json({"folder": str(result.folder), **result.values})
    else:
        show_table(("result", "value"), [*rows(result.values), ("run folder", str(result.folder))], whole=True)


def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `result.json` says about the test split, as pairs of words and numbers; the headline metric comes first."""
    test, metric = values["test"], values["metric"]
    named = {"last": "last epoch", "best": f"best epoch on validation, {values['validation']['best_epoch']}"}
    found = []
    for which in (which for which in named if which in test):
        names = sorted(test[which], key=lambda name: (name != metric, name))
        found += [(f"test {name}, {named[which]}", test[which][name]) for name in names]
    found += [(f"test {metric}, teacher {name}", row["test"][metric]) for name, row in values["teachers"].items()]
    return [(what, f"{value:.4g}") for what, value in found]
