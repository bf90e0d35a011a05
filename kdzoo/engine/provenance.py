"""How a run was made: `run.json` and `plugins/` in its folder, from which it can be made again, and what has changed since.

`run.json` holds the identity, the fingerprint of the data, files of teachers and plugin files by their hashes, and each session
that worked on the run: its command and folder, when it started, on how many processes, on which machine, and the versions of
all packages.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from kdzoo import digests, registry
from kdzoo.command_line import command
from kdzoo.engine.files import read_json, replace_file, write_json
from kdzoo.engine.results import environment
from kdzoo.engine.run import Run
from kdzoo.engine.run_identity import data_of, files_of
from kdzoo.engine.teacher_recipe import TeacherRecipe
from kdzoo.errors import RecipeError
from kdzoo.recipe.load import dump, objects_in

FILE, PLUGINS, RECIPE = "run.json", "plugins", "recipe.yaml"
FORMAT = 2
SESSION = frozenset({"started", "command", "directory", "processes", "environment", "packages"})
NAMED = 6
"""Packages that a sentence names before it counts the others."""


@dataclass(frozen=True)
class Made:
    """What a run folder says of how it was made: `values` of its `run.json`, empty if there is none."""

    folder: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Made:
        values = read_json(folder / FILE) or {}
        return cls(folder, values if _is_record(values) else {})

    @property
    def identity(self) -> str:
        return str(self.values.get("identity", ""))

    @property
    def session(self) -> Mapping[str, Any]:
        """The last one that worked on the run."""
        found: Mapping[str, Any] = self.values["sessions"][-1] if self.values.get("sessions") else {}
        return found

    @property
    def plugins(self) -> list[Path]:
        """The kept texts of the plugin files that it was made with."""
        files = [self.folder / PLUGINS / name for name in self.values.get("plugins", ())]
        return [file for file in files if file.is_file()]

    def check_repeatable(self) -> None:
        """Raises RecipeError where a file cannot say what the run was made of."""
        objects = self.values.get("objects")
        if objects:
            raise RecipeError(
                f"{self.folder} was made from Python with objects that no file holds ({', '.join(objects)}): start its script "
                f"again, `{self.session.get('command')}` in {self.session.get('directory')}."
            )

    def differences(self, settings: Mapping[str, Any], device: Any) -> list[str]:
        """What is not now as it was in the run's last session, in words; empty where nothing is known of it.

        Args: settings: of the run; device: which is used now.
        """
        if not self.session:
            return []
        was, now = self.session["environment"], environment(device)
        found = [
            f"{name} is {now[name]} instead of {was.get(name)}"
            for name in ("device", "threads", "python")
            if was.get(name) != now[name]
        ]
        found += _versions(self.session["packages"], packages())
        if self.session["processes"] != _processes():
            found.append(f"{_processes()} process(es) instead of {self.session['processes']}")
        if self.values["data"] != data_of(settings):
            found.append("the data are others")
        return found + list(self._changed_plugins()) + list(self._changed_teachers(settings))

    def _changed_plugins(self) -> Iterator[str]:
        loaded = {path.name: path for path in registry.loaded_files()}
        for name, digest in self.values["plugins"].items():
            if name not in loaded:
                yield f"the plugin file {name} is not in use"
            elif digests.of_file(loaded[name]) != digest:
                yield f"the plugin file {loaded[name]} is another than {self.folder / PLUGINS / name}"

    def _changed_teachers(self, settings: Mapping[str, Any]) -> Iterator[str]:
        for name, known in self.values["teachers"].items():
            for file, digest in known["files"].items():
                path = self.folder / file
                if not path.exists():
                    yield f"the teacher {name}'s {path} is gone"
                elif _digest(path) != digest:
                    yield f"the teacher {name}'s {path} is another"


def _is_record(values: Mapping[str, Any]) -> bool:
    """Whether `run.json` is whole: what an older kdzoo wrote, or somebody damaged, says nothing."""
    sessions, teachers = values.get("sessions"), values.get("teachers")
    return (
        values.get("format") == FORMAT
        and isinstance(values.get("data"), str)
        and isinstance(values.get("objects"), list)
        and isinstance(values.get("plugins"), dict)
        and isinstance(teachers, dict)
        and all(isinstance(each, dict) and isinstance(each.get("files"), dict) for each in teachers.values())
        and isinstance(sessions, list)
        and all(isinstance(each, dict) and each.keys() >= SESSION for each in sessions)
    )


def keep(run: Run, identity: str, folder: Path) -> None:
    """Write the recipe, the plugin files and the record, with a session more than it had."""
    replace_file(folder / RECIPE, lambda path: path.write_text(dump(run.settings)))
    kept = {path.name: path for path in registry.loaded_files()}
    for name, path in kept.items():
        if path.resolve() != (folder / PLUGINS / name).resolve():
            replace_file(folder / PLUGINS / name, lambda beside, path=path: shutil.copyfile(path, beside))  # type: ignore[misc]
    for stale in (folder / PLUGINS).glob("*.py"):
        if stale.name not in kept:
            stale.unlink()
    before = Made.read(folder).values.get("sessions", [])
    write_json(
        folder / FILE,
        {
            "format": FORMAT,
            "identity": identity,
            "data": data_of(run.settings),
            "objects": objects_in(run.settings),
            "plugins": {name: digests.of_file(folder / PLUGINS / name) for name in kept},
            "teachers": dict(_teachers(run.settings, folder)),
            "sessions": [*before, _session(run)],
        },
    )


def _session(run: Run) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(),
        "directory": str(Path.cwd()),
        "processes": run.processes.size,
        "environment": environment(run.device),
        "packages": packages(),
    }


def _teachers(settings: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name -> the folder and identity of the run that trained it, if one did; and its files, relative to `folder`."""
    for name, spec in settings["teachers"].items():
        files = list(files_of(spec).values())
        of: dict[str, Any] = {}
        if spec.get("recipe") is not None:
            nested = TeacherRecipe.of(spec["recipe"], settings)
            of = {"folder": _inside(nested.folder, folder), "identity": nested.identity}
            files = [*files_of({key: value for key, value in spec.items() if key != "recipe"}).values()]
            files += [file for file in sorted(nested.folder.glob("*.safetensors")) if file.is_file()]
        yield name, {**of, "files": {_inside(file, folder): _digest(file) for file in files}}


def _inside(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _digest(path: Path) -> str:
    return digests.of_folder(path) if path.is_dir() else digests.of_file(path)


@cache
def packages() -> dict[str, str]:
    """Every installed distribution and its version."""
    found = {each.metadata["Name"]: each.version for each in metadata.distributions() if each.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _versions(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    other = [
        f"{name} {now.get(name, 'absent')} instead of {version}" for name, version in was.items() if now.get(name) != version
    ]
    return other[:NAMED] + ([f"{len(other) - NAMED} other packages"] if other[NAMED:] else [])


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))
