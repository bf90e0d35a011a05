"""The code of functions and classes: its source as it was when it was loaded, and what it names outside itself."""

from __future__ import annotations

import dataclasses
import dis
import functools
import inspect
import linecache
import re
import sys
import sysconfig
import tokenize
import types
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from kdzoo.recipe.family import OWN, family_hash
from kdzoo.registry.source import locate

MEMBERS = frozenset({"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"})
"""Instructions that name a member of what was loaded before them."""


class UnreadableSource(Exception):
    """A function whose source is not there, or is not that of the code that was loaded."""


def source(function: types.FunctionType) -> str:
    """Its text, as it was when it was loaded.

    Raises UnreadableSource, e.g. for what was typed into an interpreter, or for a file that has changed since its import.
    """
    code, name = function.__code__, f"{function.__module__}.{function.__qualname__}"
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, function.__globals__)
    first: int | None = code.co_firstlineno
    if Path(code.co_filename).is_file() and not _rewritten(function):
        whole = _compiled("".join(lines), code.co_filename)
        first = next((other.co_firstlineno for other in whole if other.co_name == code.co_name and _same(code, other)), None)
        if first is None and lines:
            raise UnreadableSource(f"the source of {name} has changed since it was loaded")
    try:
        text = "".join(inspect.getblock(lines[(first or 1) - 1 :])) if lines else ""
    except (SyntaxError, IndexError, tokenize.TokenError):
        text = ""
    if not text:
        raise UnreadableSource(f"the source of {name} cannot be read")
    # Several lambdas may share a line.
    return f"{text} {code.co_code.hex()} {code.co_names} {code.co_consts}" if code.co_name == "<lambda>" else text


def _rewritten(function: types.FunctionType) -> bool:
    """Whether an import hook has changed the code on its way from the file, as pytest does with assertions."""
    spec = function.__globals__.get("__spec__")
    return spec is not None and type(spec.loader) is not SourceFileLoader


def functions_of(descriptor: Any) -> list[Any]:
    """The functions behind a property, class method, static method or cached property."""
    if isinstance(descriptor, property):
        return [descriptor.fget, descriptor.fset, descriptor.fdel]
    if isinstance(descriptor, functools.cached_property):
        return [descriptor.func]
    return [descriptor.__func__]


def generated(kind: type, member: Any) -> bool:
    """Whether a method was written by `dataclass` or `NamedTuple`, whose fields and parameters are members too."""
    if not isinstance(member, types.FunctionType) or not (dataclasses.is_dataclass(kind) or issubclass(kind, tuple)):
        return False
    file = inspect.unwrap(member).__code__.co_filename
    return file.startswith("<") and not linecache.getlines(file)


def named_outside(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function names outside itself: globals, and of modules outside installed distributions the members it names."""
    looked_up, imported, members = set[str](), set[str](), set[str]()
    for instruction in _instructions(function.__code__):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            looked_up.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME":
            imported.add(instruction.argval)
        elif instruction.opname in MEMBERS:
            members.add(str(instruction.argval))
    known = function.__globals__
    for name in sorted(looked_up & known.keys()):
        if isinstance(known[name], types.ModuleType):
            yield from _members(known[name], members)
        else:
            yield name, known[name]
    package = known.get("__package__") or ""
    for name in sorted(imported):
        module = sys.modules.get(name) or sys.modules.get(f"{package}.{name}")
        file = None if module else locate(name) if name else None
        if module is not None:
            yield from _members(module, members)
        elif file is not None and file.is_file() and not _within_packages(str(file)):
            yield name, file.read_bytes()


def _members(module: types.ModuleType, names: set[str]) -> Iterator[tuple[str, Any]]:
    if installed(module.__name__) is None:
        for name in sorted(names & vars(module).keys()):
            value = vars(module)[name]
            yield from _members(value, names) if isinstance(value, types.ModuleType) else [(f"{module.__name__}.{name}", value)]


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """Those of a piece of code and of the functions in it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _instructions(constant)


@functools.cache
def installed(module: str) -> str | None:
    """What identifies the code of a module of the standard library or an installed distribution; None for other modules."""
    top = module.partition(".")[0]
    if top == OWN or (top.startswith(f"{OWN}_") and not top.startswith(f"{OWN}_file_")):
        return family_hash(module)  # as for plugins that are named
    if top == "__main__":  # under `python -m TOOL` its file is the tool's, but what is typed or run there is the user's
        return None
    if top in sys.stdlib_module_names:
        return "standard library"
    found = sys.modules.get(top)
    places = [*getattr(found, "__path__", ()), getattr(found, "__file__", None) or ""]
    if top in sys.builtin_module_names or any(_within_packages(place) for place in places if place):
        return _version(top)
    return None


def _within_packages(place: str) -> bool:
    return any(Path(place).is_relative_to(folder) for folder in _folders())


@functools.cache
def _folders() -> tuple[str, ...]:
    return tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})


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


@functools.lru_cache(maxsize=64)
def _compiled(text: str, file: str) -> tuple[types.CodeType, ...]:
    try:
        whole = compile(text, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return ()
    found, waiting = [], [whole]
    while waiting:
        code = waiting.pop()
        found.append(code)
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return tuple(found)


def _same(a: Any, b: Any) -> bool:
    """Whether two pieces of code, or constants in them, do the same, wherever they stand in their files."""
    if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
        names = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_qualname", "co_flags")
        alike = all(getattr(a, name) == getattr(b, name) for name in names) and len(a.co_consts) == len(b.co_consts)
        return alike and all(map(_same, a.co_consts, b.co_consts))
    return type(a) is type(b) and repr(a) == repr(b)
