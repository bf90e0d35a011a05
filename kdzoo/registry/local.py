"""Plugins without a package: registered in this process, or read from a file."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from kdzoo import digests
from kdzoo.errors import PluginError, did_you_mean, looked
from kdzoo.registry.entries import FILE_SUFFIX, IN_PROCESS, KINDS, LOCAL, Entry

TABLE = "KDZOO"


def register(kind: str, name: str, obj: object) -> Entry:
    """Make `obj` a plugin of this process, for notebooks; the same name again replaces it.

    Raises PluginError for an unknown kind.
    """
    module, attribute = getattr(obj, "__module__", ""), getattr(obj, "__qualname__", name)
    return _add(Entry(kind, name, f"{module}:{attribute}", IN_PROCESS, ""), obj)


def load_file(path: str | Path) -> list[Entry]:
    """Run a Python file and register its plugins (`--plugin FILE.py`); the same file again replaces them.

    They are those of its table `KDZOO = {"methods": {"name": object}}`. Without one, every public class defined in it that
    says its kind by `kdzoo_kind` (subclasses of Method, Transform, Teacher and Schedule do), under its own `name` or its class
    name in snake_case.

    Raises PluginError if there is no such file, it fails, it holds no plugin, or another file of its name was loaded.
    """
    path = Path(path)
    module = _run(path)
    table = vars(module).get(TABLE)
    found = list(_classes(module) if table is None else _table(table, path))
    if not found:
        raise PluginError(
            f"The plugin file {path} holds no plugin: define a subclass of Method (or another class with `kdzoo_kind`), "
            f'or a table {TABLE} = {{"methods": {{"name": object}}}}.'
        )
    version = _version(path)
    for stale in [entry for entry in LOCAL if entry.distribution == path.name]:
        del LOCAL[stale]
    target = f"{module.__name__}:"
    return [_add(Entry(k, n, target + getattr(o, "__qualname__", n), path.name, version), o) for k, n, o in found]


def loaded_files() -> list[Path]:
    """The files whose plugins are registered, by `load_file`, but for those that are gone or otherwise now."""
    loaded = {entry.target.partition(":")[0]: entry.version for entry in LOCAL if entry.distribution.endswith(FILE_SUFFIX)}
    files = {Path(str(sys.modules[name].__file__)): version for name, version in loaded.items() if name in sys.modules}
    return [path for path, version in files.items() if path.is_file() and _version(path) == version]


def _add(entry: Entry, obj: object) -> Entry:
    if entry.kind not in KINDS:
        raise PluginError(
            f"'{entry.name}' of {entry.distribution} cannot be registered: there is no kind of plugin called "
            f"'{entry.kind}'; {did_you_mean(entry.kind, KINDS)}"
        )
    same = (entry.kind, entry.name, entry.distribution)
    for stale in [known for known in LOCAL if (known.kind, known.name, known.distribution) == same]:
        del LOCAL[stale]
    LOCAL[entry] = obj
    return entry


def _version(path: Path) -> str:
    return digests.of_file(path)[:12]


def _run(path: Path) -> ModuleType:
    name = "kdzoo_file_" + re.sub(r"\W", "_", path.stem)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise PluginError(f"There is no plugin file {path} ({looked(path)}): expected the path of a Python file.")
    earlier = getattr(sys.modules.get(name), "__file__", spec.origin)
    if earlier != spec.origin:
        raise PluginError(f"Two plugin files share a name, {earlier} and {spec.origin}: rename one of them.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are resolved, and dataclasses made, in the module's namespace
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(f"The plugin file {path} failed with {type(error).__name__}: {error}.") from error
    return module


def _table(table: object, path: Path) -> Iterator[tuple[str, str, object]]:
    if not isinstance(table, Mapping) or not all(isinstance(named, Mapping) for named in table.values()):
        raise PluginError(f'{TABLE} in the plugin file {path} must look like {{"methods": {{"name": object}}}}.')
    yield from ((kind, name, obj) for kind, named in table.items() for name, obj in named.items())


def _classes(module: ModuleType) -> Iterator[tuple[str, str, object]]:
    for cls in vars(module).values():
        own = isinstance(cls, type) and cls.__module__ == module.__name__ and not cls.__name__.startswith("_")
        if own and hasattr(cls, "kdzoo_kind"):
            name = vars(cls).get("name")
            yield cls.kdzoo_kind, name if isinstance(name, str) else _snake(cls.__name__), cls


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
