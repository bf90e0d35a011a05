"""Copy a built-in recipe to a file of your own, to edit it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from kdzoo.errors import RecipeError
from kdzoo.terminal.console import loading, say, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="its name (see `kdzoo list recipes`) or file")
    parser.add_argument("dest", help="the new file, or a folder for it")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace) -> int:
    loading(args.recipe)
    from kdzoo.engine.files import replace_file
    from kdzoo.recipe.find import find

    source = find(args.recipe, folder=Path.cwd()).resolve()
    dest = Path(args.dest).expanduser()
    dest = dest / source.name if dest.is_dir() or args.dest.endswith("/") else dest
    if dest.exists() and not args.force:
        raise RecipeError(f"{dest} exists already; choose another name, or replace it by --force.")
    try:
        text = anchored(source.read_text("utf-8"), source)
        replace_file(dest, lambda beside: beside.write_text(text, "utf-8"))
    except OSError as error:
        raise RecipeError(f"{dest} cannot be written ({error.filename}: {error.strerror}); choose another place.") from None
    show(str(dest))
    say(f"Edit it, look at it by `kdzoo show recipe {dest}`, and train it by `kdzoo run {dest}`.")
    return 0


def anchored(text: str, source: Path) -> str:
    """A recipe's text, with the recipes that it names by relative path (`extends: ../_base/x.yaml`) named for anywhere."""
    from kdzoo.recipe.find import available
    from kdzoo.recipe.read import DEFAULTS, contents, inherits_defaults

    names = {path.resolve(): name for name, path in available().items()}

    if inherits_defaults(source, contents(source)):
        text = f"extends: {DEFAULTS}\n{text}"

    def renamed(found: re.Match[str]) -> str:
        path = (source.parent / found["path"]).resolve()
        return found["before"] + (names.get(path) or str(path)) if path.is_file() else found[0]

    return re.sub(r"(?P<before>[:\[,-]\s+[\"']?|\[)(?P<path>[^\s\"',\[\]{}#]+\.ya?ml)", renamed, text)
