"""What a frozen teacher said of each sample, in files that all runs on these data share.

A folder holds `store.json` (whose answers these are, and of what), and an array for each kind of answer, (N, d) in float32,
mapped into memory. They are filled in the order of the samples' numbers, in batches that are always the same, so whoever
fills a store writes the same numbers, and a store that was left half filled is gone on with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdzoo.engine.files import read_json, write_json
from kdzoo.errors import RecipeError

CARD = "store.json"
FORMAT = 1


@dataclass(frozen=True)
class Store:
    """Answers about `samples` samples under a fingerprint, as `kind -> width`."""

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

    def complete(self, kinds: Iterable[str]) -> bool:
        return all(self.filled(kind) == self.samples for kind in kinds)

    def write(self, start: int, answers: Mapping[str, Tensor]) -> None:
        """Put answers (B, d) of the samples from `start` on, and say so once they are on disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        card = self.card() or {"format": FORMAT, "fingerprint": self.fingerprint, "samples": self.samples, "filled": {}}
        for kind, value in answers.items():
            array = self._open(kind, int(value.shape[1]))
            array[start : start + len(value)] = value.float().cpu().numpy()
            array.flush()
            card["filled"][kind] = start + len(value)
        write_json(self.folder / CARD, card)

    def read(self, kinds: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """The arrays, mapped into memory and read only."""
        return {kind: np.load(self._file(kind), mmap_mode="r") for kind in kinds}

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.folder.glob("*.npy"))

    def _open(self, kind: str, width: int) -> Any:
        array = self._mapped(kind, "r+")
        if array is not None:
            return array
        return np.lib.format.open_memmap(self._file(kind), mode="w+", dtype=np.float32, shape=(self.samples, width))

    def _mapped(self, kind: str, mode: Literal["r", "r+"]) -> Any:
        try:
            return np.load(self._file(kind), mmap_mode=mode)
        except (OSError, ValueError, EOFError):  # not there, or shorter than it says
            return None

    def _file(self, kind: str) -> Path:
        return self.folder / f"{kind}.npy"


def taken(array: NDArray[np.float32], numbers: Tensor, device: torch.device) -> Tensor:
    """The answers about some samples (B, d), on a device."""
    return torch.from_numpy(array[numbers.cpu().numpy()]).to(device)
