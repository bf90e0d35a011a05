"""Train a recipe; a run that was interrupted goes on, one that is finished is not repeated."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo.cli.arguments import add_json, add_recipe, load_plugins
from kdzoo.cli.console import say, show_json, show_table
from kdzoo.cli.progress import watching

if TYPE_CHECKING:
    from kdzoo.engine.results import Result
    from kdzoo.recipe.load import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("--force", action="store_true", help="train again, even if this run is finished or under way")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from kdzoo.engine.launch import launch
    from kdzoo.recipe.load import load

    load_plugins(args)
    recipe = load(args.recipe, args.overrides)
    folder = announced(recipe, force=args.force)
    with watching(quiet=args.quiet) as listeners:
        result = launch(recipe, folder=folder, force=args.force, listeners=listeners)
    if os.environ.get("RANK", "0") == "0":  # under torchrun one process speaks for all
        show_result(result, as_json=args.json)
    return 0


def announced(recipe: Recipe, *, force: bool) -> Path:
    """The run folder, after saying what was found in it."""
    from kdzoo.engine.identify import identify
    from kdzoo.engine.launch import finished

    settings, identity = recipe.settings, identify(recipe.settings)
    folder = Path(settings["runtime"]["out"]) / (settings["name"] or "run") / identity
    if force or os.environ.get("RANK", "0") != "0":
        return folder
    if finished(folder, identity):
        say(f"This run is finished already: {folder}. Train it again by --force.")
    elif (folder / "checkpoints").is_dir():
        say(f"Going on from the last checkpoint in {folder}. Start anew by --force.")
    return folder


def show_result(result: Result, *, as_json: bool) -> None:
    """Print the run folder and the test metrics."""
    if as_json:
        show_json({"folder": str(result.folder), **result.values})
    else:
        show_table(("result", "value"), [*rows(result.values), ("run folder", str(result.folder))])


def rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `result.json` says about the test split, as pairs of words and numbers."""
    best = values["validation"]["best_epoch"]
    named = {"last": "last epoch", "best": f"best epoch on validation, {best}"}
    test = values["test"]
    ours = [(f"test {name}, {named[which]}", value) for which in named if which in test for name, value in test[which].items()]
    metric = values["metric"]
    theirs = [(f"test {metric}, teacher {name}", row["test"][metric]) for name, row in values["teachers"].items()]
    return [(what, f"{value:.4g}") for what, value in ours + theirs]
