"""Data that lie inside Python packages: found there without importing them, or fetched alone, without what the packages need.

A source (or a model's weights) says by an attribute `wheel` where its files come from. `kdzoo data fetch NAME` installs that
wheel into a temporary folder, with no dependencies and no code of it run, and keeps the named files in kdzoo's cache.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdzoo import digests, registry
from kdzoo.cache_folder import CACHE
from kdzoo.data.search_paths import Availability, Search
from kdzoo.engine.files import replace_file
from kdzoo.errors import MissingError, PluginError, RecipeError, RunFailed, did_you_mean

KINDS = ("data", "models")


@dataclass(frozen=True)
class Wheel:
    """Files inside a package.

    Attributes:
        package: as it is imported; requirement: as it is installed, with its version.
        group: the name under which several wheels are fetched together.
        folder: of the files in the cache.
        files: path inside the package -> SHA-256.
        terms: under which the data may be used, as far as it is known.
    """

    package: str
    requirement: str
    group: str
    folder: str
    files: Mapping[str, str]
    terms: str

    @property
    def command(self) -> str:
        """What brings the files."""
        return f"kdzoo data fetch {self.group}"

    def search(self) -> Search:
        names = ", ".join(Path(name).name for name in self.files)
        return Search(self.requirement, names, self.command, [self.folder], [*self._installed()])

    def place(self, folder: str | Path | None = None, root: Path | None = None) -> Path:
        """The folder with all files. Raises MissingError, or RecipeError if the folder that the user names lacks one."""
        found = self.search().first(self.all_in, folder, root)
        if found is None:
            raise self.search().missing(folder, root)
        return found

    def all_in(self, folder: Path) -> Path | None:
        """The folder, if it holds all files by their own names."""
        return folder if all((folder / Path(name).name).is_file() for name in self.files) else None

    def available(self, name: str, root: Path | None) -> Availability:
        """The line of `kdzoo data`."""
        found = self.search().first(self.all_in, None, root)
        size = sum((found / Path(file).name).stat().st_size for file in self.files) if found else None
        return Availability(name, found is not None, str(found or ""), size, self.terms, self.command)

    def _installed(self) -> Sequence[Path]:
        """The folder of the files inside an installed package, which is not imported."""
        spec = importlib.util.find_spec(self.package)
        roots = list(spec.submodule_search_locations or ()) if spec else []
        return [Path(root) / Path(next(iter(self.files))).parent for root in roots]


def wheels() -> dict[str, Wheel]:
    """Every plugin that has its files in a wheel."""
    found = {}
    for kind in KINDS:
        for name in registry.discover(kind):
            try:
                wheel = getattr(registry.get(kind, name), "wheel", None)
            except PluginError:  # `kdzoo list` says what is wrong with it
                continue
            if isinstance(wheel, Wheel):
                found[name] = wheel
    return found


def named(name: str) -> list[Wheel]:
    """The wheels of a group, or the one of a plugin. Raises RecipeError where the name is neither."""
    known = wheels()
    chosen = [wheel for plugin, wheel in known.items() if name in (plugin, wheel.group)]
    if not chosen:
        groups = {wheel.group for wheel in known.values()}
        raise RecipeError(f"nothing called {name!r} can be fetched; {did_you_mean(name, {*known, *groups})}")
    return list({wheel.requirement: wheel for wheel in chosen}.values())


Installer = Callable[[str, Path], None]


def fetch(wheel: Wheel, root: Path | None = None, *, install: Installer | None = None) -> Path:
    """Bring a wheel's files into `root`, $KDZOO_DATA or kdzoo's cache; what is there and right is kept.

    Returns their folder.

    Raises:
        MissingError: there is no pip to install with. RunFailed: pip failed, or a file is not the one that is expected.
    """
    place = Path(root or os.environ.get("KDZOO_DATA") or CACHE).expanduser() / wheel.folder
    if all(_right(place / Path(name).name, digest) for name, digest in wheel.files.items()):
        return place
    with tempfile.TemporaryDirectory() as scratch:
        (install or _install)(wheel.requirement, Path(scratch))
        for name, digest in wheel.files.items():
            file = Path(scratch) / wheel.package / name
            if not _right(file, digest):
                what = "is not the file that kdzoo knows" if file.is_file() else "is not in it"
                raise RunFailed(
                    f"{wheel.requirement} was fetched, but {name} {what} (SHA-256 {digest[:12]}…); nothing was kept."
                )
        place.mkdir(parents=True, exist_ok=True)
        for name in wheel.files:
            _kept(Path(scratch) / wheel.package / name, place / Path(name).name)
    return place


def _kept(source: Path, target: Path) -> None:
    def write(beside: Path) -> None:
        shutil.copyfile(source, beside)

    replace_file(target, write)


def _right(file: Path, digest: str) -> bool:
    return file.is_file() and digests.of_file(file) == digest


def _install(requirement: str, target: Path) -> None:
    """pip of this interpreter, or uv's, into a folder of its own: a wheel only, and nothing that it depends on."""
    if importlib.util.find_spec("pip"):
        tool = [sys.executable, "-m", "pip"]
    elif shutil.which("uv"):
        tool = ["uv", "pip"]
    else:
        raise MissingError(
            f"fetching {requirement} needs pip or uv, and neither is there. Run: python -m ensurepip, "
            f"or: pip install --no-deps {requirement}"
        )
    options = ["--no-deps", "--only-binary", ":all:", "--target", str(target)]
    done = subprocess.run([*tool, "install", *options, requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise RunFailed(f"{requirement} could not be fetched: {last} Install it yourself: pip install --no-deps {requirement}")
