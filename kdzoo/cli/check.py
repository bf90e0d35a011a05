"""Check recipes without training: names, types, ranges, and what a bench recipe expands to."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.cli.console import show_json, show_table
from kdzoo.errors import KdzooError, RecipeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipes", nargs="+", metavar="recipe", help="names, files or folders of recipes; and key=value, ~key")
    parser.add_argument("--deep", action="store_true", help="also build the task, the models and the methods")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    load_plugins(args)
    overrides = [word for word in args.recipes if is_override(word)]
    named = [name for word in args.recipes if not is_override(word) for name in _files(word)]
    if not named:
        raise RecipeError("kdzoo check: nothing to check; name a recipe, its file or a folder with recipes.")
    problems = {name: _problem(name, overrides, deep=args.deep) for name in named}
    found = [(name, f"wrong: {error}" if error else "ok") for name, error in problems.items()]
    if args.json:
        show_json([{"recipe": name, "status": status} for name, status in found])
    else:
        show_table(("recipe", "status"), found)
    return max((error.exit_code for error in problems.values() if error), default=0)


def is_override(word: str) -> bool:
    """Whether an argument is `key=value` or `~key` rather than a recipe."""
    return (word.startswith("~") and not word.startswith("~/")) or ("=" in word and not Path(word).exists())


def _files(word: str) -> Iterator[str]:
    folder = Path(word)
    if not folder.is_dir():
        yield word
        return
    for path in sorted(folder.rglob("*.y*ml")):
        if not any(part.startswith("_") for part in path.relative_to(folder).parts):
            yield str(path)


def _problem(name: str, overrides: Sequence[str], *, deep: bool) -> KdzooError | None:
    try:
        _check(name, overrides, deep=deep)
    except KdzooError as error:
        return error
    return None


def _check(name: str, overrides: Sequence[str], *, deep: bool) -> None:
    from kdzoo.recipe.load import load

    recipe = load(name, overrides)
    if deep:
        from kdzoo.engine.assemble import assemble

        assemble(recipe.settings)
