"""What a frozen teacher said of each sample, in files that all runs on these data share.

A folder holds `store.json` (whose answers these are, and of what), and an array for each kind of answer, in float32, mapped
into memory: a row for each sample or, where batches are padded, for each position of each sample, without the padding. They are
filled in the order of the samples' numbers, in batches that are always the same, so whoever fills a store writes the same
numbers, and a store that was left half filled is gone on with.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdzoo.engine.files import read_json, replace_file, write_json
from kdzoo.errors import MissingError, RecipeError

CARD = "store.json"
STARTS = "sample-starts.npy"
FORMAT = 2


@dataclass(frozen=True)
class Answers:
    """One kind of answer about N samples.

    Attributes:
        rows: (R, ...), mapped into memory. starts: where each sample's rows begin (N + 1,), or None: one row each.
    """

    rows: NDArray[np.float32]
    starts: NDArray[np.int64] | None = None

    def of(self, numbers: Tensor, positions: Tensor | None, device: torch.device) -> Tensor:
        """The answers about some samples (B, ...), or (B, T, ...) with zeros where `positions` (B, T) has padding."""
        chosen = numbers.cpu().numpy()
        if self.starts is None or positions is None:
            return torch.from_numpy(self.rows[chosen]).to(device)
        first, counts = self.starts[chosen], self.starts[chosen + 1] - self.starts[chosen]
        shift = np.repeat(first - (counts.cumsum() - counts), counts)
        found = torch.from_numpy(self.rows[shift + np.arange(len(shift))]).to(device)
        whole = found.new_zeros(*positions.shape, *found.shape[1:])
        whole[positions] = found
        return whole


@dataclass(frozen=True)
class Store:
    """Answers about `samples` samples under a fingerprint."""

    folder: Path
    fingerprint: str
    samples: int

    def check(self) -> None:
        """Refuse a folder with answers of another teacher, or about other samples."""
        card = self.card()
        if card and card["fingerprint"] != self.fingerprint:
            raise RecipeError(
                f"the answers in {self.folder} are stale: they are of another teacher, other data or another preprocessing "
                f"(fingerprint {card['fingerprint']}, now {self.fingerprint}); remove the folder, or name another one."
            )

    def card(self) -> dict[str, Any]:
        """What the folder says of itself; empty for a new one."""
        found = read_json(self.folder / CARD)
        if found is None and (self.folder / CARD).exists():
            raise RecipeError(f"{self.folder / CARD} is damaged; remove the folder, the teacher answers again.")
        return found or {}

    def filled(self, kind: str) -> int:
        """How many samples, from the first on, have an answer of this kind; none where its file is gone or cut off."""
        said = int(self.card().get("filled", {}).get(kind, 0))
        return said if said and self._mapped(kind, "r") is not None else 0

    def count(self, positions: Tensor) -> None:
        """Keep how many positions each sample has, (N,)."""
        starts = np.concatenate([[0], positions.numpy().cumsum()])
        replace_file(self.folder / STARTS, lambda beside: _saved(beside, starts))

    @property
    def starts(self) -> NDArray[np.int64] | None:
        """Where each sample's positions begin (N + 1,); None where nobody has counted them yet."""
        found: NDArray[np.int64] | None = _loaded(self.folder / STARTS, "r")
        return found

    def complete(self, kinds: Iterable[str]) -> bool:
        return all(self.filled(kind) == self.samples for kind in kinds)

    def write(self, start: int, size: int, answers: Mapping[str, Tensor], kinds: Mapping[str, bool]) -> None:
        """Put the answers about `size` samples from `start` on, and say so once they are on disk.

        Args: answers: by kind, rows of the samples, or of their positions. kinds: whether a kind is by position.

        Raises MissingError: the disk has no room for the arrays.
        """
        card = self.card() or {"format": FORMAT, "fingerprint": self.fingerprint, "samples": self.samples, "filled": {}}
        starts = self.starts
        for kind, value in answers.items():
            total, place = self.samples, start
            if kinds[kind]:
                assert starts is not None  # positions are counted before they are written
                total, place = int(starts[-1]), int(starts[start])
            array = self._open(kind, (total, *value.shape[1:]))
            array[place : place + len(value)] = value.float().cpu().numpy()
            array.flush()
            card["filled"][kind] = start + size
        write_json(self.folder / CARD, card)

    def read(self, kinds: Mapping[str, bool]) -> dict[str, Answers]:
        """Answers by kind; `kinds` says whether a kind is by position."""
        starts = self.starts
        return {
            kind: Answers(np.load(self._file(kind), mmap_mode="r"), starts if by_position else None)
            for kind, by_position in kinds.items()
        }

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.glob("*.npy"))

    def _open(self, kind: str, shape: tuple[int, ...]) -> Any:
        array = self._mapped(kind, "r+")
        if array is not None:
            return array
        needed, free = 4 * int(np.prod(shape)), shutil.disk_usage(self.folder).free
        if needed > free:  # a mapped file that finds no room ends the process
            raise MissingError(
                f"the teacher's {kind} of all samples take {needed / 1e9:.1f} GB, and {self.folder} has room for "
                f"{free / 1e9:.1f} GB; name a folder elsewhere, or use teacher.use=frozen."
            )
        return np.lib.format.open_memmap(self._file(kind), mode="w+", dtype=np.float32, shape=shape)

    def _mapped(self, kind: str, mode: Literal["r", "r+"]) -> Any:
        return _loaded(self._file(kind), mode)

    def _file(self, kind: str) -> Path:
        return self.folder / f"{kind}.npy"


def _saved(file: Path, array: NDArray[Any]) -> None:
    with file.open("wb") as out:
        np.save(out, array)


def _loaded(file: Path, mode: Literal["r", "r+"]) -> Any:
    """The array in a file, mapped into memory; None where it is not there, or shorter than it says."""
    try:
        return np.load(file, mmap_mode=mode)
    except (OSError, ValueError, EOFError):
        return None
