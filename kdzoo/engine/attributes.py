"""What a plugin decides while it runs: the plain attributes of its modules and of schedules, which no `state_dict` holds.

A method may find out that a derivative is missing, count, remember where it was. Whatever of this stands in attributes of its
module, of its submodules or of objects of its own package is kept in checkpoints without the author's help: numbers, texts,
tensors, the state of random generators, and lists, dicts, sets and deques of them.
"""

from __future__ import annotations

import collections
import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdzoo.errors import RunFailed

PLAIN = (type(None), bool, int, float, complex, str, bytes)
SEQUENCES: tuple[type[Any], ...] = (list, tuple, set, frozenset, collections.deque)
INTERNAL = frozenset(vars(nn.Module()))
ABSENT = ("absent",)


@dataclass(frozen=True)
class Other:
    """A value that a checkpoint cannot hold; two of them are equal if they are the same object."""

    value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Other) and self.value is other.value

    __hash__ = object.__hash__


class Attributes:
    """The plain attributes of some modules and other objects, and how they were when this was made."""

    def __init__(self, modules: Mapping[str, object]) -> None:
        self.modules = dict(modules)
        self.before = dict(self._all())

    def changed(self) -> dict[str, Any]:
        """Path -> what a checkpoint holds of it, of all attributes that have changed since. Loads with `weights_only=True`."""
        return {path: _without_others(value) for path, value in self._changed()}

    def lost(self) -> list[str]:
        """The paths of attributes that have changed since into what a checkpoint cannot hold."""
        before = self.before
        return [path for path, value in self._changed() if not _others(value) <= _others(before.get(path, ABSENT))]

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take `changed` back, in modules that are as they were when this was made.

        Raises RunFailed for an object that the modules do not have.
        """
        owners = dict(self._each())
        for path, value in saved.items():
            place, _, name = path.rpartition(".")
            if place in owners:
                setattr(owners[place], name, _decoded(value, getattr(owners[place], name, None), path))

    def _changed(self) -> Iterator[tuple[str, Any]]:
        for path, value in self._all():
            if not _equal(value, self.before.get(path, ABSENT)):
                yield path, value

    def _each(self) -> Iterator[tuple[str, object]]:
        for name, own in self.modules.items():
            for path, part in own.named_modules() if isinstance(own, nn.Module) else [("", own)]:
                yield f"{name}.{path}" if path else name, part

    def _all(self) -> Iterator[tuple[str, Any]]:
        for path, module in self._each():
            family = _package(type(module))
            for name, value in getattr(module, "__dict__", {}).items():
                if name not in INTERNAL:
                    yield f"{path}.{name}", _encoded(value, family, ())


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _encoded(value: Any, family: str, inside: tuple[int, ...]) -> Any:
    """The value as tagged tuples of plain ones; `inside` are the objects that it stands in."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, Enum):
        return "enum", _encoded(value.value, family, inside)
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return "tensor", value.detach().cpu().clone(), value.device.type != "cpu"
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        return "array", torch.from_numpy(np.array(value)), isinstance(value, np.generic)
    for kind, state, _ in GENERATORS:
        if isinstance(value, kind):
            return "generator", _encoded(state(value), family, ())
    if id(value) in inside:
        return Other(value)
    inner = (*inside, id(value))
    for kind in SEQUENCES:
        if isinstance(value, kind):
            items = [_encoded(item, family, inner) for item in iter(value)]
            return "items", kind.__name__, sorted(items, key=repr) if kind in (set, frozenset) else items
    if isinstance(value, dict):
        return "dict", [(_encoded(k, family, inner), _encoded(v, family, inner)) for k, v in value.items()]
    if hasattr(value, "__dict__") and not isinstance(value, type | nn.Module) and _package(type(value)) == family:
        return "object", type(value).__qualname__, [(n, _encoded(item, family, inner)) for n, item in vars(value).items()]
    return Other(value)


def _decoded(saved: Any, there: Any, path: str) -> Any:
    """The value that was encoded; what is `there` now is changed in place, for others may know it."""
    if not isinstance(saved, tuple):
        return saved
    match saved:
        case ("other",):
            return there
        case ("enum", value) if isinstance(there, Enum):
            return type(there)(_decoded(value, there.value, path))
        case ("tensor", tensor, moved):
            return tensor.to(there.device) if isinstance(there, Tensor) else tensor.cuda() if moved else tensor
        case ("array", tensor, scalar):
            return tensor.numpy()[()] if scalar else tensor.numpy()
        case ("generator", state):
            for kind, _, put in GENERATORS:
                if isinstance(there, kind):
                    put(there, _decoded(state, None, path))
                    return there
        case ("items", kind, items):
            own = list(there) if isinstance(there, list | tuple | collections.deque) else []
            found = [_decoded(item, own[n] if n < len(own) else None, path) for n, item in enumerate(items)]
            return _filled(kind, found, there)
        case ("dict", pairs):
            own_items = there if isinstance(there, dict) else {}
            keyed = [(_decoded(key, None, path), value) for key, value in pairs]
            values = {key: _decoded(value, own_items.get(key), path) for key, value in keyed}
            own_items.clear()
            own_items.update(values)
            return own_items
        case ("object", name, fields) if type(there).__qualname__ == name:
            frozen = is_dataclass(there) and getattr(there, "__dataclass_params__").frozen  # noqa: B009  # unknown to typing
            made = copy.copy(there) if frozen else there
            vars(made).update({key: _decoded(value, vars(there).get(key), path) for key, value in fields})
            return made
    raise RunFailed(f"the checkpoint does not fit {path}: the plugin is another one now; start with --force.")


def _filled(kind: str, items: list[Any], there: Any) -> Any:
    """A list, tuple, set or deque with these items."""
    if isinstance(there, list | collections.deque) and type(there).__name__ == kind:
        there.clear()
        there.extend(items)
        return there
    if hasattr(there, "_make") and kind == "tuple":
        return there._make(items)
    return {each.__name__: each for each in SEQUENCES}[kind](items)


def _set_state(generator: np.random.Generator, state: Any) -> None:
    generator.bit_generator.state = state


GENERATORS: tuple[tuple[type, Callable[[Any], Any], Callable[[Any, Any], object]], ...] = (
    (torch.Generator, torch.Generator.get_state, torch.Generator.set_state),
    (random.Random, random.Random.getstate, random.Random.setstate),
    (np.random.Generator, lambda generator: dict(generator.bit_generator.state), _set_state),
)


def _equal(a: Any, b: Any) -> bool:
    """Whether two encoded values are the same; a NaN is the same as itself, and 1 is not True."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool(a == b or (a != a and b != b))


def _without_others(encoded: Any) -> Any:
    if isinstance(encoded, Other):
        return ("other",)
    return type(encoded)(map(_without_others, encoded)) if isinstance(encoded, tuple | list) else encoded


def _others(encoded: Any) -> set[int]:
    """What of an encoded value a checkpoint cannot hold; of an object also that it is this kind of object."""
    if isinstance(encoded, Other):
        return {id(encoded.value)}
    if not isinstance(encoded, tuple | list):
        return set()
    own = {hash(encoded[:2])} if isinstance(encoded, tuple) and encoded[:1] == ("object",) else set()
    return own.union(*map(_others, encoded))
