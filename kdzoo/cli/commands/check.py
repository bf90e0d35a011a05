"""Check recipes without training: names, types, ranges, and what a bench recipe expands to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.cli.exit_codes import unexpected
from kdzoo.errors import KdzooError, RecipeError
from kdzoo.terminal.console import loading, show_json, show_table

if TYPE_CHECKING:
    from kdzoo.recipe.load import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipes", nargs="+", metavar="recipe", help="names, files or folders of recipes; and key=value, ~key")
    parser.add_argument("--deep", action="store_true", help="also build the task, the models and the methods")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading("torch and the recipes")
    load_plugins(args)
    overrides = [word for word in args.recipes if is_override(word)]
    named = [name for word in args.recipes if not is_override(word) for name in _files(word)]
    if not named:
        raise RecipeError("kdzoo check: nothing to check; name a recipe, its file or a folder with recipes.")
    found = {name: _checked(name, overrides, deep=args.deep) for name in named}
    if args.json:
        show_json([{"recipe": name, "status": str(status)} for name, status in found.items()])
    else:
        show_table(("recipe", "status"), list(found.items()))
    return max((status.exit_code for status in found.values() if isinstance(status, KdzooError)), default=0)


def is_override(word: str) -> bool:
    """Whether an argument is `key=value` or `~key` rather than a recipe."""
    return (word.startswith("~") and not word.startswith("~/")) or ("=" in word and not os.path.exists(word))


def _files(word: str) -> Iterator[str]:
    folder = Path(word)
    if not os.path.isdir(word):  # unlike Path.is_dir, False for a text that cannot be a path at all
        yield word
        return
    for path in sorted(folder.rglob("*.y*ml")):
        if not any(part.startswith("_") for part in path.relative_to(folder).parts):
            yield str(path)


def _checked(name: str, overrides: Sequence[str], *, deep: bool) -> str | KdzooError:
    """`ok`, with the number of runs of a bench; or what is wrong."""
    try:
        recipes = _runs(name, overrides)
        for recipe in recipes if deep else ():
            _assemble(recipe)
    except KdzooError as error:
        return error
    except Exception as error:  # one file must not end the check of a folder
        return KdzooError(unexpected(error))
    return "ok" if len(recipes) == 1 else f"ok, {len(recipes)} runs"


def _runs(name: str, overrides: Sequence[str]) -> list[Recipe]:
    """The recipe of each run that a recipe stands for."""
    from kdzoo.benchmark.plan.grid import expand
    from kdzoo.engine.components import make
    from kdzoo.recipe.load import load

    recipe = load(name, overrides)
    if recipe.settings["bench"]:
        return [cell.recipe for cell in expand(name, overrides).cells]
    make(recipe.settings, recipe.provenance)
    return [recipe]


def _assemble(recipe: Recipe) -> None:
    from kdzoo.engine.assemble import assemble

    assemble(recipe.settings)
