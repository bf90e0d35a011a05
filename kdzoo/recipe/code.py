"""The code of functions and classes: its source as it was when it was loaded, and what it names outside itself."""

from __future__ import annotations

import dis
import functools
import inspect
import linecache
import os
import re
import sys
import tokenize
import types
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from kdzoo.recipe.family import family_hash
from kdzoo.recipe.whose import home, installed
from kdzoo.registry.source import is_library, locate

MEMBERS = frozenset({"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"})
"""Instructions that name a member of what was loaded before them."""
ANY_GLOBAL = frozenset({"globals", "eval", "exec"})
ANY_MEMBER = frozenset({"getattr", "vars", "__dict__", "attrgetter", "methodcaller"})
ANY_MODULE = frozenset({"__import__", "import_module"})
ENVIRONMENT = frozenset({"environ", "environb", "getenv", "getenvb", "expandvars"})
COMPOSING = frozenset({"BUILD_STRING", "FORMAT_VALUE", "FORMAT_SIMPLE", "FORMAT_WITH_SPEC"})
"""Code that names one of these looks names up while it runs: any global, member, module, or variable of the environment."""


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
    # Several lambdas may share a line, and a file that an import hook rewrites cannot be compared with what was loaded.
    return f"{text} {_described(code)}" if code.co_name == "<lambda>" or _rewritten(function) else text


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


def generated(member: Any) -> bool:
    """Whether a method was written by `dataclass` or `NamedTuple`, whose fields and parameters are members, too."""
    member = getattr(member, "__func__", member)  # `__new__` is a static method
    if not isinstance(member, types.FunctionType):
        return False
    function = inspect.unwrap(member)
    within = str(function.__globals__.get("__name__", ""))
    return function.__code__.co_qualname.startswith("__create_fn__.") or within.startswith("namedtuple_")


def named_outside(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function names outside itself: globals, of modules that are no library's the members, and variables of the
    environment. Where it looks names up while it runs, or hands a module on, all that it might find counts."""
    names = _Names(function)
    known, wanted = function.__globals__, names.wanted
    found = {name for name in known if not _is_dunder(name)} if names.globals & ANY_GLOBAL else names.globals & known.keys()
    for name in sorted(found):
        if isinstance(known[name], types.ModuleType):
            yield from _members(known[name], None if name in names.values else wanted)
        else:
            yield name, known[name]
    for name in sorted(names.imported):
        yield from _imported(name, known.get("__package__") or "", wanted)
    called = [known[name] for name in names.globals & known.keys() if isinstance(known[name], types.FunctionType)]
    if any(_mentions(own.__code__) & ENVIRONMENT for own in (function, *called)):
        yield from _environment(names)


class _Names:
    """What the code of a function names: globals, members, modules that it imports, and texts."""

    def __init__(self, function: types.FunctionType) -> None:
        self.globals, self.members, self.imported, texts = set[str](), set[str](), set[str](), set[str]()
        self.values = set[str]()
        """Globals that are taken as they are, and not for a member."""
        self.composes = False
        """Whether texts are put together while it runs."""
        instructions = list(_instructions(function.__code__))
        for instruction, after in zip(instructions, [*instructions[1:], None], strict=True):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                self.globals.add(instruction.argval)
                if after is None or after.opname not in MEMBERS:
                    self.values.add(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                self.imported.add(instruction.argval)
            elif instruction.opname in MEMBERS:
                self.members.add(str(instruction.argval))
            elif isinstance(instruction.argval, str | bytes):
                texts.add(_text(instruction.argval))
            self.composes |= instruction.opname in COMPOSING
        given = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        given += [function.__globals__.get(name) for name in self.globals]
        given += [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
        self.known_texts = texts | {_text(value) for value in given if isinstance(value, str | bytes)}
        if self.globals_and_members & ANY_MODULE:
            self.imported |= {text for text in self.known_texts if text.replace(".", "").isidentifier()}

    @property
    def globals_and_members(self) -> set[str]:
        return self.globals | self.members

    @property
    def wanted(self) -> set[str] | None:
        """The members that may be looked up; None for all."""
        return None if self.globals_and_members & ANY_MEMBER else self.members


@functools.lru_cache(maxsize=4096)
def _mentions(code: types.CodeType) -> frozenset[str]:
    """All names of globals, members and modules in a piece of code and in the functions in it."""
    return frozenset(code.co_names).union(*(_mentions(each) for each in code.co_consts if isinstance(each, types.CodeType)))


def _environment(names: _Names) -> Iterator[tuple[str, Any]]:
    """The variables of the environment whose names are among the texts, or, where texts are composed, contain one of them."""
    words = {word for text in names.known_texts for word in re.findall(r"[^\W\d]\w*", text) if word == text or "$" in text}
    if names.composes:
        parts = [word for word in words if len(word) > 1]
        words |= {variable for variable in os.environ if any(part in variable for part in parts)}
    yield from ((f"${word}", os.environ.get(word)) for word in sorted(words))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def _imported(name: str, package: str, wanted: set[str] | None) -> Iterator[tuple[str, Any]]:
    """Members of a module that is imported while a function runs; of one that is not loaded yet, its file."""
    parents = [package.rsplit(".", above)[0] for above in range(package.count(".") + 1)] if package else []
    modules = [sys.modules[full] for full in (name, *(f"{p}.{name}".rstrip(".") for p in parents)) if full in sys.modules]
    for module in modules:
        yield from _members(module, wanted)
    file = None if modules or not name else locate(name)
    if file is not None and file.is_file() and not is_library(str(file)):
        yield name, family_hash(name)


def _members(module: types.ModuleType, wanted: set[str] | None) -> Iterator[tuple[str, Any]]:
    """Those with the wanted names, or all of them; of a library only functions that somebody else has put there."""
    if installed(module.__name__) is not None:
        yield from _put_into(module, wanted or set())
        return
    if wanted is None:
        yield module.__name__, module
        return
    for name in sorted(wanted & vars(module).keys()):
        value = vars(module)[name]
        yield from _members(value, wanted) if isinstance(value, types.ModuleType) else [(f"{module.__name__}.{name}", value)]


def _put_into(library: types.ModuleType, wanted: set[str]) -> Iterator[tuple[str, Any]]:
    for name in sorted(wanted & vars(library).keys()):
        value = vars(library)[name]
        if isinstance(value, types.FunctionType) and _is_of_nobody(value):
            yield f"{library.__name__}.{name}", value


def members_of(module: types.ModuleType) -> list[tuple[str, Any]]:
    """All that a module holds."""
    return [(name, value) for name, value in sorted(vars(module).items()) if not _is_dunder(name)]


def replaced(kind: type) -> list[tuple[str, Any]]:
    """Functions that somebody has put into a library's class."""
    return [
        (name, member)
        for name, member in sorted(vars(kind).items())
        if isinstance(member, types.FunctionType) and not generated(member) and _is_of_nobody(member)
    ]


def _is_of_nobody(function: types.FunctionType) -> bool:
    """Whether no installed package has it."""
    return installed(home(function)) is None


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """Those of a piece of code and of the functions in it."""
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _instructions(constant)


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


def _described(code: types.CodeType) -> str:
    """What a piece of code does, wherever it stands."""
    constants = [_described(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _same(a: Any, b: Any) -> bool:
    """Whether two pieces of code, or constants in them, do the same, wherever they stand in their files."""
    if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
        names = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_qualname", "co_flags")
        alike = all(getattr(a, name) == getattr(b, name) for name in names) and len(a.co_consts) == len(b.co_consts)
        return alike and all(map(_same, a.co_consts, b.co_consts))
    return type(a) is type(b) and repr(a) == repr(b)
