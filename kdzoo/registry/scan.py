"""One scan of all installed metadata for all kinds of plugins. Nothing is imported, and no distribution spoils another.

The `entrypoints` package stays behind `_read`. Known traps of it: one malformed `entry_points.txt` of any distribution raises
and ends the scan, bad entries are mere warnings, and names come as file names spell them.
"""

from __future__ import annotations

import configparser
import glob
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import entrypoints

from kdzoo.errors import did_you_mean
from kdzoo.registry.entries import KINDS, PROTOCOL, Entry, normalized

PREFIX = "kdzoo."
PROTOCOL_GROUP = "kdzoo.protocol"


@dataclass(frozen=True)
class _Metadata:
    """A distribution's entry points by group and name, or why they could not be read."""

    name: str
    version: str
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    problem: str | None = None

    def entry(self, kind: str, name: str, target: str, problem: str | None) -> Entry:
        return Entry(kind, name, target, self.name, self.version, problem)


def scan() -> tuple[Entry, ...]:
    """Every entry on the path, broken ones with their problem; one of kind '' stands for a distribution.

    Where a distribution is on the path twice (a stale copy), the first one counts, as it does for imports.
    """
    first: dict[str, _Metadata] = {}
    for metadata in _read():
        first.setdefault(metadata.name, metadata)
    return tuple(entry for metadata in first.values() for entry in _entries(metadata))


def _entries(metadata: _Metadata) -> Iterator[Entry]:
    if metadata.problem:
        yield metadata.entry("", metadata.name, "", metadata.problem)
    foreign = _foreign_protocol(metadata.groups.get(PROTOCOL_GROUP, {}))
    for kind, group in KINDS.items():
        for name, target in metadata.groups.get(group, {}).items():
            yield metadata.entry(kind, name, target, foreign or _bad_target(kind, target))
    for group in metadata.groups.keys() - {*KINDS.values(), PROTOCOL_GROUP}:
        problem = f"its entry-point group '{group}' is no kind of plugin; {did_you_mean(group.removeprefix(PREFIX), KINDS)}"
        yield metadata.entry("", group, "", problem)


def _foreign_protocol(declared: dict[str, str]) -> str | None:
    if not declared or str(PROTOCOL) in declared:
        return None
    return (
        f"it was written for plugin protocol {' or '.join(declared)}, this kdzoo speaks {PROTOCOL}: "
        f"install the version of kdzoo or of the plugin that fits"
    )


def _bad_target(kind: str, target: str) -> str | None:
    try:
        parsed = entrypoints.EntryPoint.from_string(target, "")
    except entrypoints.BadEntryPoint:
        return f"its entry point reads {target!r}, expected 'module:attribute'"
    if parsed.object_name is None and kind != "recipes":
        return f"its entry point {target!r} names only a module, expected 'module:attribute'"
    return None


def _read() -> list[_Metadata]:
    try:
        return [_parsed(config, found) for config, found in entrypoints.iter_files_distros(repeated_distro="all")]
    except Exception:  # whatever one distribution's file does to the parser, the others must be found
        return [metadata for folder in sys.path for metadata in _read_one_by_one(str(folder))]


def _read_one_by_one(folder: str) -> Iterator[_Metadata]:
    if os.path.isfile(folder):  # a zip file: readable as a whole or not at all
        try:
            yield from [_parsed(*found) for found in entrypoints.iter_files_distros([folder], repeated_distro="all")]
        except Exception as error:
            yield _unreadable(entrypoints.Distribution(os.path.basename(folder), None), folder, error)
    for file in glob.iglob(os.path.join(glob.escape(folder), "*.*-info", "entry_points.txt")):
        found = entrypoints.Distribution.from_name_version(os.path.splitext(os.path.basename(os.path.dirname(file)))[0])
        config = entrypoints.CaseSensitiveConfigParser(delimiters=("=",))
        try:
            config.read([file])
            yield _parsed(config, found)
        except Exception as error:
            yield _unreadable(found, file, error)


def _parsed(config: configparser.ConfigParser, found: entrypoints.Distribution) -> _Metadata:
    ours = [section for section in config.sections() if section.startswith(PREFIX)]
    groups = {section: dict(config.items(section, raw=True)) for section in ours}
    return _Metadata(normalized(found.name), found.version or "unknown", groups)


def _unreadable(found: entrypoints.Distribution, file: str, error: Exception) -> _Metadata:
    problem = f"its entry points in {file} cannot be read ({' '.join(str(error).split())}): reinstall or remove it"
    return _Metadata(normalized(found.name), found.version or "unknown", problem=problem)
