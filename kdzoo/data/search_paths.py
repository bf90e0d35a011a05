"""Where data are looked for, and the sentences for when they are not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kdzoo.cache_folder import CACHE
from kdzoo.errors import KdzooError, MissingError, RecipeError

Found = TypeVar("Found")


@dataclass(frozen=True)
class Availability:
    """One line of `kdzoo data`. `found` is None where the user names the place; `size` in bytes on disk, if found."""

    name: str
    found: bool | None
    where: str
    size: int | None
    license: str
    get: str


def places(root: Path | None) -> list[Path]:
    """The shared folders, in order: `paths.data`, $KDZOO_DATA, ~/.cache/kdzoo."""
    named = [root, os.environ.get("KDZOO_DATA"), CACHE]
    return [Path(place).expanduser() for place in named if place]


@dataclass(frozen=True)
class Search:
    """Looks for one data set in the user's folder, or else in the shared ones.

    Attributes:
        name: of the data set; files: what must be there, for the error message; command: how to get it.
        inside: subfolders in which a place may hold it; extra: further whole places.
    """

    name: str
    files: str
    command: str
    inside: Sequence[str]
    extra: Sequence[Path] = ()

    def candidates(self, folder: str | Path | None, root: Path | None) -> Iterator[Path]:
        """Every folder that may hold it. A folder that the user names is the only place searched."""
        for place in [Path(folder).expanduser()] if folder else [*places(root), *self.extra]:
            yield from (place, *(place / name for name in self.inside))

    def first(self, look: Callable[[Path], Found | None], folder: str | Path | None, root: Path | None) -> Found | None:
        """What `look` finds in the first candidate where it finds anything."""
        found = (look(candidate) for candidate in self.candidates(folder, root))
        return next((item for item in found if item is not None), None)

    def available(
        self, name: str, *, license: str, look: Callable[[Path], Sequence[Path] | None], root: Path | None
    ) -> Availability:
        """Whether `look` finds files in the shared places; an incomplete folder's error stands in `where`."""
        try:
            files, problem = self.first(look, None, root), ""
        except RecipeError as error:
            files, problem = None, str(error)
        return Availability(
            name=name,
            found=files is not None,
            where=str(files[0].parent) if files else problem,
            size=sum(file.stat().st_size for file in files) if files else None,
            license=license,
            get=self.command,
        )

    def missing(self, folder: str | Path | None, root: Path | None) -> KdzooError:
        """The error for when nothing was found."""
        if folder:
            return RecipeError(
                f"{self.name} is not in {Path(folder).expanduser()}: {self.files} are expected there "
                f"(or in {', '.join(self.inside)} below it). Correct the folder, or get the data: {self.command}"
            )
        searched = ", ".join(str(place) for place in [*places(root), *self.extra])
        return MissingError(f"{self.name} was not found in {searched} ({self.files}). Get it with: {self.command}")


def all_of(folder: Path, names: Sequence[str], *, suffixes: Sequence[str] = ("",)) -> list[Path] | None:
    """The named files of a folder, each with one of the suffixes; None if they are not there.

    Raises RecipeError if more than half are: then this is the right folder, and something happened to it.
    """
    found = [next((p for p in (folder / (name + end) for end in suffixes) if p.is_file()), None) for name in names]
    paths = [path for path in found if path]
    if len(paths) == len(names):
        return paths
    if 2 * len(paths) > len(names):
        lacking = ", ".join(name for name, path in zip(names, found, strict=True) if path is None)
        raise RecipeError(f"{folder} is not complete: {lacking} is missing beside {paths[0].name}. Fetch the data again.")
    return None
