"""The source of a plugin with the modules of its family that it imports, read without importing anything."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path

from kdzoo import digests
from kdzoo.registry.source import is_library, is_standard, locate

OWN = "kdzoo"  # its plugins' family is their folder; protocol and engine count by their version


def family_hash(module: str) -> str:
    """SHA-256 of a module's file, and of those modules of its family that it imports, directly or not; '' without a file.

    The family is the top-level package, and what it imports that is no library's. Imports inside functions count as well; a
    module whose name is made at run time is not seen.
    """
    return hash_of(family_files(module))


def hash_of(files: Mapping[str, Path]) -> str:
    """The same, of a family that is found already."""
    if len(files) == 1:
        return _digest(*files.values())
    return digests.of_text(" ".join(f"{name}={_digest(files[name])}" for name in sorted(files))) if files else ""


def family_files(module: str) -> dict[str, Path]:
    """The modules that `family_hash` is of, by name."""
    family = ".".join(module.split(".")[: 2 if module.split(".")[0] == OWN else 1])
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(name, tuple(sys.path))
        if name in found or file is None:
            continue
        found[name] = file
        stat = file.stat()
        imported = _imported(name, file, stat.st_mtime_ns, stat.st_size) if file.suffix == ".py" else ()
        waiting += [other for other in imported if f"{other}.".startswith(f"{family}.") or _is_beside(other)]
    return found


def _is_beside(module: str) -> bool:
    """Whether a module is neither a library's nor kdzoo's."""
    top = module.partition(".")[0]
    if top == OWN or top.startswith(f"{OWN}_"):  # families do not import each other
        return False
    file = _file(top, tuple(sys.path)) or _file(module, tuple(sys.path))
    return file is not None and not is_library(str(file)) and not is_standard(str(file))


def _digest(file: Path) -> str:
    stat = file.stat()
    return _digest_of(file, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _digest_of(file: Path, *_as_it_was: int) -> str:
    return digests.of_file(file)


@cache
def _file(module: str, _searched: tuple[str, ...]) -> Path | None:
    path = locate(module)
    return path if path is not None and path.is_file() else None


@cache
def _imported(module: str, file: Path, _changed: int, _size: int) -> tuple[str, ...]:
    """The modules that a file may import; of `from a import b` both `a` and `a.b`. Time and size are for the cache."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return tuple(name for node in ast.walk(tree) for name in _names(node, package))


def _names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*parents, *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
