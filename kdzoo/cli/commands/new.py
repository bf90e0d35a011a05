"""Write a new plugin to start from: `kdzoo new plugin NAME` makes a distribution that passes its tests at once."""

from __future__ import annotations

import argparse
import keyword
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kdzoo import registry
from kdzoo.cli.dispatch import version
from kdzoo.errors import RecipeError
from kdzoo.registry.source import locate
from kdzoo.terminal.console import say, show

TEMPLATES = Path(__file__).parents[2] / "scaffold"
SUFFIX = ".txt"
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
OWN = re.compile(r"^kdzoo[-_]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("plugin",), help="a distribution with one method, a recipe and a test")
    parser.add_argument("name", help="of the distribution, e.g. kdzoo-mine; its method is then called `mine`")
    parser.add_argument("--out", default=".", metavar="DIR", help="the folder that gets the new folder; default here")


def run(args: argparse.Namespace) -> int:
    names = words(args.name)
    folder = Path(args.out) / names["DISTRIBUTION"]
    if folder.exists():
        raise RecipeError(f"{folder} exists already; choose another name, or remove it.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            write(TEMPLATES / args.what, Path(beside) / "new", names)
            shutil.move(Path(beside) / "new", folder)
    except OSError as error:
        raise RecipeError(
            f"{folder} cannot be written ({error.filename}: {error.strerror}); choose another place by --out."
        ) from None
    show(str(folder))
    say(f"Install it by `pip install -e '{folder}[test]'`, test it by `pytest {folder}`; its README says the rest.")
    return 0


def words(name: str) -> dict[str, str]:
    """What stands for each placeholder. Raises RecipeError for a name that cannot be one, or is taken."""
    package = name.replace("-", "_")
    method = OWN.sub("", package) or package
    if not NAME.fullmatch(name) or keyword.iskeyword(method):
        raise RecipeError(f"'{name}' cannot be the name of a plugin: use small letters, digits and hyphens, as in kdzoo-mine.")
    if method in registry.discover("methods"):
        raise RecipeError(f"There is a method '{method}' already (`kdzoo show method {method}`); choose another name.")
    if locate(package) is not None:
        raise RecipeError(f"There is a Python package '{package}' already; choose another name, such as kdzoo-{name}.")
    return {
        "DISTRIBUTION": name.replace("_", "-"),
        "PACKAGE": package,
        "METHOD": method,
        "CLASS": "".join(part.capitalize() for part in method.split("_")),
        "VERSION": version(),
        "PROTOCOL": str(registry.PROTOCOL),
    }


def write(templates: Path, folder: Path, names: Mapping[str, str]) -> None:
    """Copy a tree of templates with `@WORD@` replaced in the texts and `WORD` in the file names."""
    for template in sorted(templates.rglob(f"*{SUFFIX}")):
        text = template.read_text("utf-8")
        place = template.relative_to(templates).as_posix().removesuffix(SUFFIX)
        for word, name in names.items():
            text, place = text.replace(f"@{word}@", name), place.replace(word, name)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, "utf-8")
