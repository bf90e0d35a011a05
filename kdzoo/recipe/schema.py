"""From a keyword-only signature to what a recipe may say: types, defaults, and slots for other plugins.

A parameter annotated with a role of `kdzoo.protocol.roles`, or with a sequence or mapping of it, is a slot: another plugin goes
there, with settings of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from omegaconf import MISSING, DictConfig

from kdzoo import registry
from kdzoo.errors import PluginError
from kdzoo.protocol.method import Method
from kdzoo.protocol.roles import SLOTS, Existing
from kdzoo.recipe import values
from kdzoo.recipe.paths import USE, join
from kdzoo.recipe.sections import Reserved

KIND_OF: dict[Any, str] = {**SLOTS, Method: "methods"}
RECIPE = "recipe"
REQUIRED: Any = inspect.Parameter.empty


@dataclass(frozen=True)
class Field:
    """One setting.

    Attributes:
        annotation: the parameter's, without None; `optional` says whether null may be written.
        default: a plain value, or REQUIRED.
        slot: the kind of plugin that goes here (`recipe`: a nested recipe), if any; `shape`: one, a list or a mapping of them.
        section: the dataclass whose fields are written here, if any.
        existing: whether it names files or folders that must be there.
        plain: what OmegaConf checks a plain value against; None for a slot, a section, and what only Python can give.
    """

    name: str
    annotation: Any
    optional: bool = False
    default: Any = REQUIRED
    slot: str | None = None
    shape: Literal["one", "list", "map"] = "one"
    section: type | None = None
    plain: Any = None
    existing: bool = False

    @property
    def one(self) -> str:
        """What one item of a slot may be, in words."""
        if self.slot == RECIPE:
            return "the name or path of a recipe, or a recipe"
        return f"one of the {self.slot}, by name or as {{{USE}: name, ...}}"

    @property
    def expected(self) -> str:
        """What may be written here, in words."""
        words = f"a {getattr(self.annotation, '__name__', self.annotation)}, which only Python can give"
        if self.slot:
            words = {"one": self.one, "list": f"a list of {self.slot}", "map": f"a mapping to {self.slot}"}[self.shape]
        elif self.section:
            words = "a mapping of settings"
        elif self.plain is not None:
            words = values.described(self.plain)
        return f"{words} or null" if self.optional else words

    def fits(self, value: Any) -> bool:
        """Whether a value has the shape of this slot."""
        return isinstance(value, {"one": object, "list": list, "map": dict}[self.shape])

    def usual(self, key: str | None = None) -> str | None:
        """The plugin that this slot, or its item at `key`, holds where the recipe names none."""
        usual = self.default.get(key) if isinstance(self.default, dict) else self.default
        return usual if isinstance(usual, str) else None

    def parse(self, value: Any) -> Any:
        """A plain value as its type has it. Raises ValueError where it does not fit."""
        if self.plain is None:
            raise ValueError(self.expected)
        return values.parse(self.plain, value, optional=self.optional)

    def argument(self, value: Any) -> Any:
        """A parsed value as the constructor expects it."""
        if get_origin(self.annotation) is tuple and isinstance(value, list):
            return tuple(value)
        return Path(value) if self.annotation is Path and isinstance(value, str) else value

    def each(self, value: Any, path: str, visit: Callable[[Any, str, str | None], Any]) -> Any:
        """`visit(item, path, key)` of each plugin in a slot, in the slot's shape; the key is that of a mapping."""
        if self.shape == "list":
            return [visit(item, join(path, number), None) for number, item in enumerate(value)]
        if self.shape == "map":
            return {key: visit(item, join(path, key), key) for key, item in value.items()}
        return visit(value, path, None)


@dataclass(frozen=True)
class Schema:
    """The settings of one plugin, or of one section of a recipe, in the order of its signature."""

    owner: str
    fields: Mapping[str, Field]

    def structured(self) -> DictConfig:
        """The settings as OmegaConf's structured config; what goes into slots and sections is not typed in it."""
        typed = {f.name: Any if f.plain is None else f.plain | None if f.optional else f.plain for f in self.fields.values()}
        defaults = {f.name: MISSING if f.default is REQUIRED else f.default for f in self.fields.values()}
        return values.structured({name: (typed[name], defaults[name]) for name in typed})


def schema_for(kind: str, name: str) -> Schema:
    """The schema of a plugin; a method's ends with the reserved settings. Raises PluginError."""
    entry = registry.entry(kind, name)
    owner = f"{entry.name} ({f'{entry.distribution} {entry.version}'.strip()})"
    constructor: Any = registry.get(kind, name)
    schema = schema_of(constructor, owner=owner, hidden=frozenset(told_by_tasks()) if kind == "models" else frozenset())
    taken = {USE} | (schema_of(Reserved).fields.keys() if kind == "methods" else set())
    for clash in sorted(taken & schema.fields.keys()):
        raise PluginError(f"The parameter '{clash}' of {owner} has a name that recipes reserve for all {kind}: rename it.")
    return dataclasses.replace(schema, fields={**schema.fields, **schema_of(Reserved).fields}) if kind == "methods" else schema


def told_by_tasks() -> dict[str, Any]:
    """What installed tasks tell models of their data, each task those that it has, with a usual value (`Task.tells`)."""
    told: dict[str, Any] = {}
    for name in registry.discover("tasks"):
        with contextlib.suppress(PluginError):  # a broken task is another recipe's problem
            told |= getattr(registry.get("tasks", name), "tells", {})
    return told


@functools.lru_cache(maxsize=512)
def schema_of(obj: Callable[..., Any], *, owner: str = "", hidden: frozenset[str] = frozenset()) -> Schema:
    """The schema of a class or function, from its signature.

    Args:
        owner: what messages call it; default its name.
        hidden: parameters that are no settings.

    Raises:
        PluginError: a parameter without annotation, or with one that no recipe can hold; `*args` and `**kwargs`.
    """
    owner = owner or getattr(obj, "__name__", repr(obj))
    parameters = [p for p in _parameters(obj) if p.name not in hidden]
    hints = _hints(obj, owner) if parameters else {}
    factories = {f.name: f.default_factory for f in _dataclass_fields(obj) if f.default_factory is not dataclasses.MISSING}
    fields = {}
    for parameter in parameters:
        name = parameter.name
        if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise PluginError(f"The parameter '{parameter}' of {owner} cannot be checked: give each setting a name.")
        if name not in hints:
            raise PluginError(f"The parameter '{name}' of {owner} has no annotation: say its type.")
        default = factories[name]() if name in factories else parameter.default
        fields[name] = _field(name, hints[name], default, owner)
    return Schema(owner, fields)


def _field(name: str, annotation: Any, default: Any, owner: str) -> Field:
    bare, optional = values.split_optional(annotation)
    default = values.to_plain(default) if default is not REQUIRED else REQUIRED
    item, shape = values.split_container(bare)
    made = Field(name, bare, optional or default is None, default, existing=item is Existing)
    if _kind(item):
        return dataclasses.replace(made, slot=_kind(item), shape=shape)
    if dataclasses.is_dataclass(bare) and isinstance(bare, type):
        return dataclasses.replace(made, section=bare, default=REQUIRED if default is REQUIRED else _written(default))
    try:
        made = dataclasses.replace(made, plain=values.plain_type(bare))
        return made if default in (REQUIRED, None) else dataclasses.replace(made, default=made.parse(default))
    except values.ForeignType:
        return made
    except values.RefusedType:
        raise PluginError(
            f"The parameter '{name}' of {owner} is annotated {_shown(annotation)}, a union that no recipe can hold: "
            "use one type, or several primitive ones."
        ) from None
    except ValueError as error:
        raise PluginError(f"The default {default!r} of '{name}' of {owner} does not fit its annotation: {error}.") from None


def _kind(annotation: Any) -> str | None:
    try:
        return KIND_OF.get(annotation)
    except TypeError:  # an unhashable annotation is no role
        return None


def _written(default: Any) -> Any:
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return values.to_plain(dataclasses.asdict(default))
    return default


def _dataclass_fields(obj: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(obj) if dataclasses.is_dataclass(obj) else ()


def _parameters(obj: Any[..., Any]) -> list[inspect.Parameter]:
    inherited = getattr(_init(obj), "__module__", "") in ("typing", "torch.nn.modules.module")  # no constructor of its own
    return [] if inherited else list(inspect.signature(obj).parameters.values())


def _hints(obj: Any, owner: str) -> dict[str, Any]:
    try:
        return get_type_hints(obj if dataclasses.is_dataclass(obj) or not isinstance(obj, type) else _init(obj))
    except NameError as error:
        raise PluginError(
            f"The annotations of {owner} cannot be resolved ({error}): import what they name at run time, "
            "not under TYPE_CHECKING."
        ) from None


def _init(obj: Any) -> Any:
    return getattr(obj, "__init__", None) if isinstance(obj, type) else None


def _shown(annotation: Any) -> str:
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")
