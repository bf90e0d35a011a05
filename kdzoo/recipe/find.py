"""The recipes that go by name: kdzoo's own, and those that installed plugins bring. Imports nothing heavy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import kdzoo
from kdzoo import registry
from kdzoo.errors import RecipeError, cut, looked, nearest
from kdzoo.registry.source import locate

OWN = "kdzoo"
SUFFIXES = (".yaml", ".yml")


def available() -> dict[str, Path]:
    """All recipes by name, which is the path in their folder without suffix; a plugin's start with its entry's name.

    Parts of recipes, in folders whose name starts with an underscore, are among them.
    """
    found: dict[str, Path] = {}
    for prefix, folder in _folders().items():
        found |= _inside(folder, prefix)
    return dict(sorted(found.items()))


def find(name: str, *, folder: Path) -> Path:
    """The file of a recipe: a path, relative to `folder`, or a name, or the unique end of a name.

    Raises RecipeError where there is none, or several.
    """
    path = folder / Path(name).expanduser()
    if os.path.isfile(path):  # unlike Path.is_file, False for a text that cannot be a path at all
        return path
    name = name.removesuffix(Path(name).suffix) if Path(name).suffix in SUFFIXES else name
    if (called := _called(name)) is not None:
        return called
    known = available()
    ends = [full for full in known if f"/{full}".endswith(f"/{name}") and not hidden(full)]
    if len(ends) == 1:
        return known[ends[0]]
    if ends:
        raise RecipeError(f"Several recipes are called '{name}': write {' or '.join(repr(end) for end in ends)}.")
    shown = [full for full in known if not hidden(full)]
    close = nearest(name, set(shown if "/" in name else [Path(full).name for full in shown]))
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "`kdzoo list recipes` names all."
    raise RecipeError(
        f"There is no recipe '{cut(name)}', neither as a file nor as a name; {hint} It was {cut(looked(path), 400)}."
    )


def shipped_by(path: Path) -> str:
    """The distribution that ships a recipe's file; '' for a file of the user's."""
    if path.is_relative_to(builtin_folder().resolve()):
        return OWN
    for entry in registry.discover("recipes").values():
        folder = _folder(entry)
        if folder and path.is_relative_to(folder.resolve()):
            return entry.distribution
    return ""


def describe(path: Path) -> str:
    """A recipe's own `description`, if it stands on one line; '' if there is none, or the file cannot be read."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.search(r"^description:\s*(?P<quote>[\"']?)(?P<text>.*?)(?P=quote)\s*$", text, re.MULTILINE)
    return found["text"] if found else ""


def hidden(name: str) -> bool:
    """Whether a recipe is only a part for others to extend."""
    return any(part.startswith("_") for part in name.split("/"))


def builtin_folder() -> Path:
    """Beside the package in a checkout, inside it in a wheel. An editable install leaves a stale copy elsewhere: never read."""
    package = Path(kdzoo.__file__).resolve().parent
    checkout = package.parent
    return checkout / "recipes" if (checkout / "pyproject.toml").is_file() else package / "recipes"


def _folders() -> dict[str, Path]:
    """Where recipes with names are, by what their names start with; of two files with one name the later one's is meant."""
    plugins = {f"{name}/": _folder(entry) for name, entry in registry.discover("recipes").items()}
    return {"": builtin_folder(), **{prefix: folder for prefix, folder in plugins.items() if folder}}


def _folder(entry: registry.Entry) -> Path | None:
    folder = locate(entry.target) if entry.problem is None else None
    return folder.parent if folder and folder.is_file() else folder


def _called(name: str) -> Path | None:
    """The file of a recipe's whole name."""
    if not name or ".." in name.split("/"):
        return None
    for prefix, folder in reversed(_folders().items()):
        for suffix in SUFFIXES if name.startswith(prefix) else ():
            path = folder / f"{name.removeprefix(prefix)}{suffix}"
            if os.path.isfile(path):
                return path
    return None


def _inside(folder: Path | None, prefix: str) -> dict[str, Path]:
    files = sorted(folder.rglob("*")) if folder and folder.is_dir() else []
    return {prefix + p.relative_to(folder).with_suffix("").as_posix(): p for p in files if folder and p.suffix in SUFFIXES}
