"""Python objects by their content, so that equal ones hash equally in every process, and what is unknown equals nothing.

Data count by their bytes, modules by structure, state, settings and code, other objects by what pickle would keep. Code is
looked at by `kdzoo.recipe.code`. What has no content that can be seen gets a number of its own in this process, so that no
result of another process is ever taken for its.
"""

from __future__ import annotations

import functools
import io
import types
import uuid
import weakref
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdzoo import digests
from kdzoo.recipe.code import UnreadableSource, functions_of, generated, members_of, named_outside, replaced, source
from kdzoo.recipe.whose import home, installed

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
INTERNAL = frozenset(vars(nn.Module())) - {*HOOKS}
MAPPINGS = (types.MappingProxyType, weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
SKIPPED = frozenset(
    [
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__firstlineno__",
        "__static_attributes__",
        "__annotate__",
        "__annotate_func__",
        "_abc_impl",
    ]
)
"""Members of a class that say nothing about what it does."""


def content(obj: Any) -> Any:
    """What JSON can hold of an object. Raises TypeError where it has no content that can be seen (a generator)."""
    return _Walk().begun(obj)


def unknown_in(text: str) -> list[str]:
    """Why a text that holds contents is found in no other process: a sentence for each unknown part of them."""
    return list(dict.fromkeys(why for number, why in _WHY.items() if number in text))


class _Walk:
    """One walk over an object and all that it is made of; what was met before is named by its number."""

    def __init__(self) -> None:
        self.met: dict[int, tuple[int, Any]] = {}

    def begun(self, obj: Any) -> Any:
        if isinstance(obj, types.GeneratorType):
            raise TypeError(f"a {type(obj).__qualname__} has no content to hash")
        return self.of(obj)

    def of(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in (type(None), bool, int, float, str):
            return obj
        if kind in (bytes, bytearray, complex):
            return [kind.__qualname__, repr(bytes(obj) if kind is bytearray else obj)]
        if isinstance(obj, Path | torch.dtype | torch.device):
            return str(obj)
        if id(obj) in self.met:
            return ["again", self.met[id(obj)][0]]
        self.met[id(obj)] = (len(self.met), obj)
        if isinstance(obj, np.ndarray | np.generic) and not obj.dtype.hasobject:
            return [str(obj.dtype), list(obj.shape), digests.of_bytes(np.ascontiguousarray(obj).tobytes())]
        if isinstance(obj, Tensor):
            return self._tensor(obj)
        if kind is dict or isinstance(obj, MAPPINGS):
            return ["mapping", [[self.of(key), self.of(value)] for key, value in obj.items()]]
        if kind in (set, frozenset):
            return ["set", sorted((self.of(item) for item in obj), key=repr)]
        if kind in (list, tuple):
            return [self.of(item) for item in obj]
        if isinstance(obj, nn.Module):
            return self._module(obj)
        return self._code(obj)

    def _tensor(self, tensor: Tensor) -> Any:
        """Its bytes, whether it is trained, and what hangs on it: attributes, and hooks of its gradient."""
        held = tensor.detach()
        if held.layout is torch.strided and not held.is_meta:
            flat = held.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
            digest = digests.of_bytes(flat.view(torch.uint8).numpy().tobytes())
        else:
            file = io.BytesIO()
            torch.save(held, file)
            digest = digests.of_bytes(file.getvalue())
        hooks = [getattr(tensor, name, None) or {} for name in ("_backward_hooks", "_post_accumulate_grad_hooks")]
        more = [vars(tensor), *(list(each.values()) for each in hooks)] if vars(tensor) or any(hooks) else []
        return [str(tensor.dtype), list(tensor.shape), digest, tensor.requires_grad, self.of(more)]

    # -- modules -----------------------------------------------------------------------------------------------------

    def _module(self, module: nn.Module) -> Any:
        """Parts, each with its class, settings and plain attributes; parameters, and all buffers, also those of no state."""
        parts: list[Any] = []
        first: dict[int, str] = {}  # a module may stand in several places
        for name, part in module.named_modules(remove_duplicate=False):
            if first.setdefault(id(part), name) != name:
                parts.append([name, first[id(part)]])
                continue
            own = {key: value for key, value in vars(part).items() if key not in INTERNAL and value is not module}
            hooks = [list(own.pop(key, {}).values()) for key in HOOKS]
            written = getattr(part, "code", None) if isinstance(part, torch.jit.ScriptModule | torch.fx.GraphModule) else None
            if written is not None:
                own = {"code": str(written)}
            parts.append([name, self.of(type(part)), part.extra_repr(), self.of(own), self.of(hooks)])
        parameters, buffers = (each(remove_duplicate=False) for each in (module.named_parameters, module.named_buffers))
        tensors = {**dict(parameters), **dict(buffers), **_tensors(module)}
        return [parts, self.of(tensors)]

    # -- code --------------------------------------------------------------------------------------------------------

    def _code(self, obj: Any) -> Any:
        if isinstance(obj, functools.partial):
            return ["partial", self.of(obj.func), self.of(obj.args), self.of(obj.keywords)]
        if isinstance(obj, types.MethodType):
            return ["bound", self.of(obj.__func__), self.of(obj.__self__)]
        if isinstance(obj, type):
            return self._class(obj)
        if isinstance(obj, types.FunctionType):
            return self._function(obj)
        if isinstance(obj, types.ModuleType):
            from_package = installed(obj.__name__)
            return ["module", obj.__name__, from_package or [[name, self.of(value)] for name, value in members_of(obj)]]
        if isinstance(obj, types.BuiltinFunctionType | types.MethodDescriptorType):
            owner = getattr(obj, "__self__", None)  # of a method, the object that it is bound to
            bound = None if isinstance(owner, types.ModuleType) else self.of(owner)
            return ["built in", getattr(obj, "__module__", None), obj.__qualname__, bound]
        if isinstance(obj, property | classmethod | staticmethod | functools.cached_property):
            return [type(obj).__name__, [self.of(each) for each in functions_of(obj)]]
        if isinstance(obj, functools._lru_cache_wrapper):
            return ["cached", self.of(obj.__wrapped__)]
        return self._object(obj)

    def _class(self, kind: type) -> Any:
        """Its name, its bases, and its own members; of a library's class only which one it is, and what others put into it."""
        name, from_package = [kind.__module__, kind.__qualname__], installed(kind.__module__)
        if from_package is not None:
            return [*name, from_package, *([member, self.of(function)] for member, function in replaced(kind))]
        bases = [self.of(base) for base in kind.__bases__ if base is not object]
        members = [
            [member, "generated" if generated(value) else self.of(value)]
            for member, value in sorted(vars(kind).items())
            if member not in SKIPPED and not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
        ]
        return [*name, self.of(type(kind)), bases, members]

    def _function(self, function: types.FunctionType) -> Any:
        """Its source, its defaults, what it closes over, and the plain constants and local code that it names."""
        from_package = installed(home(function))
        if from_package is not None and function.__closure__ is None:
            return [home(function), function.__qualname__, from_package]
        try:
            text: Any = source(function)
        except UnreadableSource as error:
            text = _number(function.__code__, str(error))
        cells = [self._cell(cell) for cell in function.__closure__ or ()]
        outside = [] if from_package else [[name, self.of(value)] for name, value in named_outside(function)]
        own = self.of(vars(function))  # what decorators leave, the function that they wrap among it
        return [
            function.__qualname__,
            text,
            self.of(function.__defaults__),
            self.of(function.__kwdefaults__),
            cells,
            outside,
            own,
        ]

    def _cell(self, cell: types.CellType) -> Any:
        try:
            return self.of(cell.cell_contents)
        except ValueError:  # not filled yet
            return "empty"

    def _object(self, obj: Any) -> Any:
        """What pickle would keep; for what cannot be pickled, its class and attributes."""
        if isinstance(obj, Enum):
            return [self.of(type(obj)), obj.name, self.of(obj.value)]
        try:
            reduced = obj.__reduce_ex__(2)
        except Exception:  # locks, streams, generators, whatever its own code says to it
            if installed(type(obj).__module__) is None and hasattr(obj, "__dict__"):
                return [self.of(type(obj)), self.of(vars(obj))]
            return _number(obj, f"nothing can be seen of a {type(obj).__qualname__}")
        if isinstance(reduced, str):
            return [type(obj).__module__, reduced]
        made, given, *rest = reduced
        return [
            self.of(type(obj)),
            self.of(made),
            self.of(given),
            *(self.of(list(r) if hasattr(r, "__next__") else r) for r in rest),
        ]


_NUMBERS: dict[int, tuple[object, str]] = {}
"""The unknown objects of this process with their numbers; kept alive, so that no other object gets one's number."""
_WHY: dict[str, str] = {}


def _number(obj: object, why: str) -> str:
    number = _NUMBERS.setdefault(id(obj), (obj, uuid.uuid4().hex))[1]
    _WHY[number] = why
    return number


def _tensors(module: nn.Module) -> dict[str, Any]:
    """The state that is neither parameter nor buffer (extra states)."""
    return {name: value for name, value in module.state_dict().items() if name.endswith("_extra_state")}
