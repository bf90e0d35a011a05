"""Finding plugins by kind and name, and importing them when they are wanted."""

from __future__ import annotations

import functools
import importlib
from dataclasses import replace

from kdzoo.errors import PluginError, cut, did_you_mean
from kdzoo.registry.entries import KINDS, LOCAL, Entry, normalized
from kdzoo.registry.scan import scan

_FAILED: dict[Entry, str] = {}


def discover(kind: str) -> dict[str, Entry]:
    """All plugins of a kind by name, sorted; those that share a name are listed as `distribution:name`.

    Raises PluginError for an unknown kind.
    """
    _check_kind(kind)
    names = {*_installed(kind), *(found.name for found in LOCAL if found.kind == kind)}
    found = {e.name if len(same) == 1 else e.qualified: e for same in (_called(kind, name) for name in names) for e in same}
    return {name: found[name] for name in sorted(found)}


def entry(kind: str, name: str, *, of: str = "") -> Entry:
    """The plugin that `name` or `distribution:name` stands for. Raises PluginError where there is none, or several.

    Args: of: the distribution that says so; of several plugins with the name, its own is meant.
    """
    distribution, _, bare = name.rpartition(":")
    owners = (distribution, normalized(distribution))
    found = [e for e in _called(kind, bare) if not distribution or e.distribution in owners]
    if not found:
        raise PluginError(_unknown(kind, name))
    own = [e for e in found if e.distribution == of]
    if len(own) == 1:
        return own[0]
    if len(found) > 1:
        forms = " or ".join(f"'{e.qualified}'" for e in found)
        both = " and ".join(f"{e.distribution} {e.version}".strip() for e in found)
        raise PluginError(f"The name '{name}' among the {kind} is ambiguous: {both} have it. Write {forms}.")
    return found[0]


def spelled(kind: str, name: str, *, of: str = "") -> str:
    """The name, qualified where several plugins have it and that of one distribution is meant. Raises as `entry` does."""
    found = entry(kind, name, of=of)
    return name if ":" in name or len(_called(kind, name)) == 1 else found.qualified


def get(kind: str, name: str) -> object:
    """The plugin itself, imported on demand. Raises PluginError where it is unknown, ambiguous or broken."""
    found = entry(kind, name)
    if found in LOCAL:
        return LOCAL[found]
    if found.problem is None:
        try:
            return _load(found.target)
        except (Exception, SystemExit) as error:
            _FAILED[found] = f"importing {found.target} failed with {_told(error)}"
            raise PluginError(_broken(replace(found, problem=_FAILED[found]))) from error
    raise PluginError(_broken(found))


def broken() -> list[Entry]:
    """Everything that cannot be used, as far as known: bad metadata, foreign protocols, failed imports."""
    return [known for e in _scanned() if (known := _as_known(e)).problem]


@functools.cache
def families() -> frozenset[str]:
    """The top-level modules of installed plugins."""
    return frozenset(each.target.partition(":")[0].partition(".")[0] for each in _scanned() if each.kind)


def refresh() -> None:
    """Forget the scan and all failed imports, after something was installed or repaired."""
    _scanned.cache_clear()
    _installed.cache_clear()
    families.cache_clear()
    _FAILED.clear()
    importlib.invalidate_caches()


_scanned = functools.cache(scan)


@functools.cache
def _installed(kind: str) -> dict[str, list[Entry]]:
    """The entries of a kind by their bare names."""
    named: dict[str, list[Entry]] = {}
    for found in _scanned():
        if found.kind == kind:
            named.setdefault(found.name, []).append(found)
    return named


def _as_known(found: Entry) -> Entry:
    return replace(found, problem=_FAILED[found]) if _FAILED and found in _FAILED else found


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise PluginError(f"There is no kind of plugin called '{kind}': {did_you_mean(kind, KINDS)}")


def _called(kind: str, name: str) -> list[Entry]:
    """All plugins of a kind with a bare name. Asked many thousand times by a bench, so it looks at no others."""
    _check_kind(kind)
    local = [found for found in LOCAL if found.kind == kind and found.name == name]
    return [*map(_as_known, _installed(kind).get(name, ())), *local]


def _load(target: str) -> object:
    module, _, attributes = target.partition(":")
    found: object = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def _unknown(kind: str, name: str) -> str:
    elsewhere = [other for other in KINDS if other != kind and _called(other, name)]
    if elsewhere:
        return f"There is no '{cut(name)}' among the {kind}, but there is among the {' and the '.join(elsewhere)}."
    return f"There is no '{cut(name)}' among the {kind}: {did_you_mean(name, discover(kind))}"


def _broken(found: Entry) -> str:
    return f"'{found.name}' among the {found.kind}, from {found.distribution} {found.version}, is broken: {found.problem}."


def _told(error: BaseException) -> str:
    cause = " ".join(str(error).split())
    return f"{type(error).__name__}: {cause}" if cause else type(error).__name__
