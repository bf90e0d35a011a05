"""What in a folder of runs nobody needs any more: checkpoints of finished runs, temporary files, teachers without runs."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kdzoo import digests
from kdzoo.engine.files import LEFTOVER, LOCK, read_json, remove_folder
from kdzoo.engine.provenance import Made
from kdzoo.engine.trainee import CHECKPOINTS, RESULT, STARTED

Kind = Literal["checkpoints", "temporary", "teachers"]
KINDS: tuple[Kind, ...] = ("checkpoints", "temporary", "teachers")
PLAN, TEACHERS = "plan.json", "teachers"
OF_TEACHER = re.compile(rf".+-[0-9a-f]{{{digests.SHORT}}}")
"""The folder of a run by a teacher's recipe: its name and its identity."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can go; `holder` is the folder whose lock speaks for it."""

    kind: Kind
    path: Path
    holder: Path

    @property
    def size(self) -> int:
        """In bytes."""
        files = [self.path] if self.path.is_file() else [file for file in self.path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)

    def remove(self) -> bool:
        """Remove it; False where a command works in its folder just now."""
        with _free(self.holder) as free:
            if free and self.path.is_dir():
                remove_folder(self.path)
            elif free:
                self.path.unlink(missing_ok=True)
        return free


def leftovers(root: Path, kinds: Sequence[Kind] = KINDS) -> list[Leftover]:
    """What can go below a folder, but for what a command works on now. Nothing is removed."""
    runs = [file.parent for file in sorted(root.rglob("*")) if file.name in (RESULT, STARTED)]
    runs = list(dict.fromkeys(runs))
    found = [*_teachers(root, runs), *_temporary(root), *_checkpoints(runs)]
    gone: list[Path] = []
    kept = []
    for each in found:
        inside = any(folder in each.path.parents for folder in gone)
        if each.kind in kinds and not inside and _is_free(each.holder):
            kept.append(each)
            gone.append(each.path)
    return kept


def _temporary(root: Path) -> Iterator[Leftover]:
    for place in sorted(root.rglob(".*")):
        if LEFTOVER.fullmatch(place.name):
            yield Leftover("temporary", place, _holder(place.parent))


def _checkpoints(runs: Sequence[Path]) -> Iterator[Leftover]:
    for run in runs:
        if (run / RESULT).is_file() and (run / CHECKPOINTS).is_dir():
            yield Leftover("checkpoints", run / CHECKPOINTS, run)


def _teachers(root: Path, runs: Sequence[Path]) -> Iterator[Leftover]:
    """Runs in `teachers` folders that no run and no bench below `root` names.

    None where a run does not say what its teachers are, as one of an older kdzoo: it may use any of them. None of a `teachers`
    folder whose own parent, which holds the runs that may use them, is not below `root`.
    """
    records = {run: Made.read(run).values for run in runs}
    if any("teachers" not in values for values in records.values()):
        return
    used = {
        (run / place).resolve()
        for run, values in records.items()
        if not _is_teacher(run)
        for teacher in values["teachers"].values()
        for place in _places(teacher)
    }
    for plan in root.rglob(PLAN):
        used |= {(plan.parent / teacher["folder"]).resolve() for teacher in (read_json(plan) or {}).get("teachers", ())}
    teachers = {run.resolve(): run for run in runs if _is_teacher(run)}
    waiting = [teachers[place] for place in used if place in teachers]
    while waiting:  # a teacher that is used uses its own
        run = waiting.pop()
        own = {(run / place).resolve() for each in records[run]["teachers"].values() for place in _places(each)} - used
        used |= own
        waiting += [teachers[place] for place in own if place in teachers]
    for place, run in teachers.items():
        if place not in used and place.parent.parent.is_relative_to(root.resolve()):
            yield Leftover("teachers", run, run)


def _places(teacher: Mapping[str, Any]) -> list[str]:
    """The folders behind a run's record of a teacher, as seen from the run: its own, and of the files it was read from."""
    files = [Path(file).parent.as_posix() for file in teacher.get("files", ())]
    return [*([teacher["folder"]] if "folder" in teacher else []), *files]


def _is_teacher(run: Path) -> bool:
    """Whether it was trained from a teacher's recipe, which names its folder; a run of the user's may lie beside it."""
    return run.parent.name == TEACHERS and OF_TEACHER.fullmatch(run.name) is not None


def _holder(place: Path) -> Path:
    """The nearest folder around a place that commands lock."""
    return next((folder for folder in (place, *place.parents) if (folder / LOCK).is_file()), place)


def _is_free(folder: Path) -> bool:
    with _free(folder) as free:
        return free


@contextmanager
def _free(folder: Path) -> Iterator[bool]:
    """Whether no command holds a folder, which none gets for the length of the block."""
    if not (folder / LOCK).is_file():
        yield True
        return
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
