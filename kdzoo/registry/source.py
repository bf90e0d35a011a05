"""A module's source file and docstrings, found without importing anything."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import re
import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_SENTENCE_END = re.compile(r"(?<!\bal)(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bcf)[.!?](?=\s|$)")


def locate(module: str) -> Path | None:
    """The file of a module, or the folder of a package without `__init__`; None if there is none."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest and spec.origin:
        return Path(spec.origin) if Path(spec.origin).is_file() else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    return next((path for folder in folders for path in _candidates(folder.joinpath(*rest)) if path.exists()), None)


INSTALLED_TO = frozenset({"site-packages", "dist-packages"})


@functools.cache
def is_library(place: str) -> bool:
    """Whether a file or folder is in one of the folders that packages are installed to.

    Also in those of another environment, which this one may see (`--system-site-packages`, a `.pth` file, PYTHONPATH).
    """
    path = Path(place)
    return not INSTALLED_TO.isdisjoint(path.parts) or any(path.is_relative_to(folder) for folder in _folders())


@functools.cache
def is_standard(place: str) -> bool:
    """Whether it is in the folder of the standard library."""
    return any(Path(place).is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


@functools.cache
def _folders() -> tuple[str, ...]:
    own = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return tuple({*own, *site.getsitepackages(), site.getusersitepackages()})


def summary(target: str) -> str:
    """The first sentence about `module:attribute`: the attribute's docstring, or else the module's, or else ''."""
    module, _, attribute = target.partition(":")
    path = locate(module)
    if path is None or path.suffix != ".py":
        return ""
    docstrings = _docstrings(path)
    return first_sentence(docstrings.get(attribute) or docstrings.get("", ""))


def docstring(module: str, attribute: str = "") -> str:
    """The docstring of a module, or of a class or function in it, cleaned; '' if there is none."""
    path = locate(module)
    return _docstrings(path).get(attribute, "") if path is not None and path.suffix == ".py" else ""


def first_sentence(docstring: str) -> str:
    """The first sentence of a docstring, on one line, without its full stop."""
    paragraph = " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())
    return _SENTENCE_END.split(paragraph, maxsplit=1)[0]


def _candidates(path: Path) -> Iterator[Path]:
    yield from (path.with_name(f"{path.name}.py"), path / "__init__.py", path)


@functools.cache
def _docstrings(path: Path) -> dict[str, str]:
    """Docstrings of a file's classes and functions by name, and of the module under ''."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    found = {"": ast.get_docstring(tree) or ""}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_docstring(node) or ""
    return found
