"""Whose a module's code is: a library's, a family of plugins', or the user's own."""

from __future__ import annotations

import functools
import re
import sys
import time
import types
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from kdzoo import registry
from kdzoo.recipe.family import OWN, family_files, hash_of
from kdzoo.registry.source import is_library, is_standard

STARTED = time.time()
"""About when this process began; code is loaded after it."""


def installed(module: str) -> str | None:
    """What identifies the code of a module of the standard library, a library or a family of plugins; None for other modules.

    A family with a file that has changed since this process began is no longer what its files say: it is looked at as one's own
    code is.
    """
    top = module.partition(".")[0]
    if top == OWN or top in registry.families():
        files = family_files(module)
        return None if any(map(_changed, files.values())) else hash_of(files)
    found = sys.modules.get(top)
    own = vars(found) if found is not None else {}  # its `__getattr__` may answer to any name
    places = [str(place) for place in (*own.get("__path__", ()), own.get("__file__")) if place]
    if top == "__main__":
        return None
    if not places:
        return "standard library" if top in sys.stdlib_module_names or top in sys.builtin_module_names else None
    if any(is_library(place) for place in places):
        return _version(top)
    return "standard library" if any(is_standard(place) for place in places) else None


def home(function: types.FunctionType) -> str:
    """The module that a function was written in; `__module__` may be that of another one which it wraps."""
    return str(function.__globals__.get("__name__", ""))


def _changed(file: Path) -> bool:
    stat = file.stat()
    return max(stat.st_mtime, stat.st_ctime) > STARTED


def _version(top: str) -> str:
    """Of a distribution. What kdzoo itself runs on counts by its name only, as it does where plugins are named."""
    if top in _required():
        return "required"
    try:
        return version(top)
    except PackageNotFoundError:  # named otherwise than its module
        return str(getattr(sys.modules.get(top), "__version__", "installed"))


@functools.cache
def _required() -> frozenset[str]:
    names = (re.match(r"[\w-]+", requirement) for requirement in requires(OWN) or ())
    return frozenset(name[0].replace("-", "_").lower() for name in names if name) | {"sklearn", "PIL", "yaml"}
