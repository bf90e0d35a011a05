"""The official files of CIFAR: pickled batches and fixed-length records, in a folder or in the .tar.gz.

The pickles are read without executing anything: only what builds a numpy array of numbers is allowed in them.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from kdzoo.data.search_paths import all_of
from kdzoo.data.sets import Images
from kdzoo.errors import RecipeError

PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Version:
    """One official form of a set.

    Attributes:
        folder, archive: official names; train, test: batch files; names: the file of class names.
        label: the pickles' key of the labels; in the binary form, which of the bytes before the pixels (the last one).
    """

    folder: str
    archive: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    label: str | int


@dataclass(frozen=True)
class Place:
    """A version that was found: `path` is the folder with its files, or the archive."""

    version: Version
    path: Path

    @property
    def files(self) -> list[Path]:
        """The batches, or the archive."""
        if self.path.is_file():
            return [self.path]
        return [self.path / name for name in (*self.version.train, *self.version.test)]


def find(folder: Path, versions: Sequence[Version]) -> Place | None:
    """The first version of which this folder has all batches, or the archive."""
    for version in versions:
        if all_of(folder, (*version.train, *version.test)):
            return Place(version, folder)
    for version in versions:
        if (folder / version.archive).is_file():
            return Place(version, folder / version.archive)
    return None


def read_part(place: Place, files: Sequence[str]) -> Images:
    """The images and labels of these batches, in order. Raises RecipeError for a damaged one."""
    content = _contents(place, files)
    lacking = [name for name in files if name not in content]
    if lacking:
        raise RecipeError(f"{place.path} is not complete: {', '.join(lacking)} is missing. Fetch it again.")
    parts = [_decode(content[name], place.version.label, f"{place.path}/{name}") for name in files]
    images = torch.cat([images for images, _ in parts]).view(-1, 3, 32, 32)
    return Images(images, torch.cat([labels for _, labels in parts]))


def read_names(place: Place) -> tuple[str, ...] | None:
    """The class names, if their file is there."""
    version = place.version
    if version.names not in (content := _contents(place, [version.names])):
        return None
    if isinstance(version.label, int):
        return tuple(content[version.names].decode().split())
    meta = _unpickle(content[version.names], f"{place.path}/{version.names}")
    return tuple(meta["label_names"] if "label_names" in meta else meta["fine_label_names"])


def _contents(place: Place, names: Sequence[str]) -> dict[str, bytes]:
    """The named files' bytes, as far as they exist."""
    if place.path.is_dir():
        paths = {name: place.path / name for name in names}
        return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    wanted = {f"{place.version.folder}/{name}": name for name in names}
    try:
        with tarfile.open(place.path) as archive:
            members = (member for member in archive if member.name in wanted and member.isfile())
            return {wanted[member.name]: archive.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        _damaged(str(place.path), f"it does not unpack ({error})", error)


def _decode(content: bytes, label: str | int, where: str) -> tuple[Tensor, Tensor]:
    if isinstance(label, str):
        return _decode_pickle(content, label, where)
    return _decode_records(content, label, where)


def _decode_records(content: bytes, label: int, where: str) -> tuple[Tensor, Tensor]:
    """Records of `label` + 1 label bytes and the pixels."""
    length = label + 1 + PIXELS
    if not content or len(content) % length:
        _damaged(where, f"it has {len(content)} bytes, which is not a whole number of records of {length}")
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, length)
    return records[:, label + 1 :], records[:, label].long()


def _decode_pickle(content: bytes, label: str, where: str) -> tuple[Tensor, Tensor]:
    batch = _unpickle(content, where)
    data, labels = batch.get("data"), batch.get(label)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,):
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        _damaged(where, f"its 'data' is {found}, expected uint8 (N, {PIXELS})")
    if not isinstance(labels, list) or len(labels) != len(data):
        _damaged(where, f"it has no list {label!r} with one label for each of its {len(data)} images")
    return torch.from_numpy(data.copy()), torch.tensor(labels, dtype=torch.int64)


def _unpickle(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        _damaged(where, f"it cannot be read ({error})", error)
    if not isinstance(value, dict):
        _damaged(where, f"it holds a {type(value).__name__}, expected a dictionary")
    return value


def _damaged(where: str, what: str, cause: Exception | None = None) -> NoReturn:
    raise RecipeError(f"{where} is damaged: {what}. Fetch it again.") from cause


def _dtype(code: str, align: int = 0, copy: int = 0) -> np.dtype[Any]:
    """Old pickles pass numbers for the two booleans, which newer numpy warns of."""
    return np.dtype(code, align=bool(align), copy=bool(copy))


class _ArraysOnly(pickle.Unpickler):
    """Refuses every global but those that a numeric numpy array consists of."""

    _reconstruct = np.zeros(0).__reduce__()[0]
    allowed = {  # noqa: RUF012
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): _dtype,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR's files do not contain")
        return self.allowed[module, name]
