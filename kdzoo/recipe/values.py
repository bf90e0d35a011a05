"""Annotations in OmegaConf's terms and in words, and plain values converted to them."""

from __future__ import annotations

import collections.abc
import copy
import functools
import math
import operator
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdzoo.protocol.roles import Existing

WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "text", bytes: "bytes", Any: "anything"}
PLURALS = {bool: "booleans", int: "integers", float: "numbers", str: "texts"}
LISTS = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
MAPPINGS = (dict, collections.abc.Mapping)
UNIONS = (Union, types.UnionType)
NONE = type(None)


class ForeignType(TypeError):
    """Values of this type can only be given from Python."""


class RefusedType(TypeError):
    """No recipe can hold this type without guessing which of its members was meant."""


def split_optional(annotation: Any) -> tuple[Any, bool]:
    """The annotation without None, and whether None was in it."""
    if get_origin(annotation) not in UNIONS:
        return annotation, False
    members = get_args(annotation)
    rest = tuple(member for member in members if member is not NONE)
    return _joined(rest), len(rest) < len(members)


def split_container(annotation: Any) -> tuple[Any, Literal["one", "list", "map"]]:
    """What a sequence or mapping holds, and which of the two it is; anything else is one of itself."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in LISTS or (origin is tuple and args[1:] == (...,)):
        return args[0], "list"
    return (args[1], "map") if origin in MAPPINGS else (annotation, "one")


def plain_type(annotation: Any, *, inside: bool = False) -> Any:
    """The annotation as OmegaConf checks it: sequences become lists, paths become text.

    Raises:
        RefusedType: a union of a list or mapping with something else.
        ForeignType: a class whose values no recipe can write.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal or _is_word(annotation):
        return annotation
    if annotation in (Path, Existing):
        return str
    if origin in UNIONS:
        return _union(args)
    if origin is tuple and args[1:] != (...,) and not inside:
        return tuple[tuple(plain_type(arg, inside=True) for arg in args)]  # type: ignore[misc]
    if origin in (*LISTS, tuple) or annotation in (*LISTS, tuple):
        items = set(args) - {...}
        return list[plain_type(items.pop(), inside=True) if len(items) == 1 else Any]  # type: ignore[misc]
    if origin in MAPPINGS or annotation in MAPPINGS:
        return dict[args[0], plain_type(args[1], inside=True)] if args else dict[str, Any]  # type: ignore[misc, valid-type]
    raise ForeignType


def described(plain: Any) -> str:
    """A plain type in words: `a list of numbers`."""
    origin, args = get_origin(plain), get_args(plain)
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    if origin in UNIONS:
        return " or ".join("null" if member is NONE else described(member) for member in args)
    if origin is tuple:
        return f"a list of {len(args)} {PLURALS.get(args[0], 'values')}"
    if origin in (list, dict):
        return f"a {'list of' if origin is list else 'mapping to'} {PLURALS.get(args[-1], 'values')}"
    return WORDS[plain]


@dataclass(frozen=True)
class _Said:
    """A value, known by how it is written: that tells 1, 1.0 and true apart, and compares lists and mappings."""

    text: str
    value: Any = field(compare=False)


def parse(plain: Any, value: Any, *, optional: bool = False) -> Any:
    """A plain value as OmegaConf converts it to a plain type. Raises ValueError where it does not fit."""
    if holds_object(value):
        return _parsed(plain, value, optional)
    return copy.deepcopy(_parsed_once(plain, _Said(repr(value), value), optional))


@functools.lru_cache(maxsize=4096)
def _parsed_once(plain: Any, said: _Said, optional: bool) -> Any:
    """The same; a bench says the same few values thousands of times."""
    return _parsed(plain, said.value, optional)


def _parsed(plain: Any, value: Any, optional: bool) -> Any:
    members = {plain, *(get_args(plain) if get_origin(plain) in UNIONS else ())}
    if bool in members and not members & {int, float} and isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value!r} is no boolean")
    if mistaken(plain, value):
        raise ValueError(f"{value!r} is no text")
    if get_origin(plain) in UNIONS and float in get_args(plain) and int not in get_args(plain) and type(value) is int:
        value = float(value)
    config = structured({"value": (plain | None if optional else plain, MISSING)})
    try:
        OmegaConf.update(config, "value", value, merge=False)
        return to_plain(OmegaConf.to_container(config, resolve=False)["value"])  # type: ignore[call-overload, index]
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from None


def structured(fields: Mapping[str, tuple[Any, Any]]) -> DictConfig:
    """OmegaConf's structured config of a dataclass made of name -> (type, default)."""
    made = [(name, kind, field(default_factory=functools.partial(copy.copy, d))) for name, (kind, d) in fields.items()]
    config: DictConfig = OmegaConf.structured(make_dataclass("Settings", made))
    return config


def to_plain(value: Any) -> Any:
    """Sequences as lists, mappings as dicts, paths as text, numpy's numbers as Python's, however deep; others as they are."""
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def holds_object(value: Any) -> bool:
    """Whether a value is, or holds, what only Python can give (a module, a tensor)."""
    if isinstance(value, dict | list):
        return any(holds_object(item) for item in (value.values() if isinstance(value, dict) else value))
    return not isinstance(value, NONE | bool | int | float | str | bytes)


LARGEST = {int: 2**63 - 1, float: float(np.finfo(np.float32).max)}
"""What tensors hold: integers of 64 bits, and numbers of 32."""


def unfit(value: Any) -> str:
    """What a number must be, and this one is not: finite, and no larger than tensors hold; else empty."""
    if type(value) not in LARGEST:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "finite"
    largest = LARGEST[type(value)]
    return "" if -largest <= value <= largest else f"between -{largest:.3g} and {largest:.3g}"


def mistaken(plain: Any, value: Any) -> bool:
    """Whether a boolean stands where a text belongs, as where somebody wrote `on`, `yes` or `no` without quotes."""
    origin, args = get_origin(plain), get_args(plain)
    if isinstance(value, list | dict) and origin in (list, dict, tuple):
        items = value.values() if isinstance(value, dict) else value
        return any(mistaken(args[-1], item) for item in items)
    members = {plain, *(args if origin in UNIONS else ())}
    return isinstance(value, bool) and str in members and bool not in members


def _is_word(annotation: Any) -> bool:
    return any(annotation is known for known in WORDS)


def _union(members: Sequence[Any]) -> Any:
    plain: list[Any] = []
    for member in members:
        try:
            plain.append(NONE if member is NONE else plain_type(member, inside=True))
        except ForeignType:
            plain.append(ForeignType)
    known = {member for member in plain if member is not NONE}
    if known == {ForeignType}:
        raise ForeignType
    if ForeignType in known or (len(known) > 1 and any(get_origin(member) in (list, dict) for member in known)):
        raise RefusedType
    return _joined(plain)


def _joined(members: Sequence[Any]) -> Any:
    return functools.reduce(operator.or_, members)
