"""Files of a data set, whether they lie in a folder or in an archive; archives are read in memory, never unpacked."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from kdzoo.data.search_paths import Availability
from kdzoo.errors import RecipeError

ARCHIVES = (".tar.gz", ".tgz", ".tar.xz", ".tar", ".zip")


def is_archive(path: Path) -> bool:
    return path.is_file() and path.name.endswith(ARCHIVES)


def listed(place: Path) -> list[str]:
    """Relative paths of the files in a folder or an archive, sorted; hidden files are not there."""
    if place.is_dir():
        found = [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]
    elif place.name.endswith(".zip"):
        with _zip(place) as archive:
            found = [name for name in archive.namelist() if not name.endswith("/")]
    else:
        with _tar(place) as tar:
            found = [member.name for member in tar.getmembers() if member.isfile()]
    return sorted(
        name for name in found if not any(part.startswith((".", "__MACOSX")) and part != "." for part in name.split("/"))
    )


def contents(place: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    """key -> content of the file that it names."""
    if place.is_dir():
        return {key: (place / name).read_bytes() for key, name in names.items()}
    if place.name.endswith(".zip"):
        with _zip(place) as archive:
            return {key: archive.read(name) for key, name in names.items()}
    with _tar(place) as tar:
        files = {key: tar.extractfile(name) for key, name in names.items()}
        return {key: file.read() for key, file in files.items() if file is not None}


def availability(name: str, found: Path | None, *, license: str, get: str) -> Availability:
    """The line of `kdzoo data` for a data set that is one folder or archive."""
    files = [] if found is None else [found] if found.is_file() else [file for file in found.rglob("*") if file.is_file()]
    return Availability(
        name=name,
        found=found is not None,
        where=str(found or ""),
        size=sum(file.stat().st_size for file in files) if found else None,
        license=license,
        get=get,
    )


def _tar(place: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(place)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RecipeError(f"{place} cannot be read as an archive ({error}); fetch it again.") from None


def _zip(place: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(place)
    except (zipfile.BadZipFile, OSError) as error:
        raise RecipeError(f"{place} cannot be read as an archive ({error}); fetch it again.") from None
