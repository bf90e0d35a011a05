"""One golden case: hyper-parameters, inputs and fixed weights read from its file, in the dtype asked for."""

from __future__ import annotations

from collections.abc import Collection, ItemsView, KeysView, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Hyper(dict[str, Any]):
    """Hyper-parameters that know which of them were read; reading all at once (`dict(hyper)`, `**hyper`) reads each."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.unread = set(values)

    def __getitem__(self, key: str) -> Any:
        self.unread.discard(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.unread.discard(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.unread.discard(key)
        return super().pop(key, *default)

    def items(self) -> ItemsView[str, Any]:
        self.unread.clear()
        return super().items()

    def keys(self) -> KeysView[str]:  # what `**hyper` asks for before it reads each
        return super().keys()


class Case:
    """A golden file as tensors. Keys lose their prefix: `in.logit_s` is `inputs["logit_s"]`.

    Attributes:
        inputs: `in.*`; those that the file has a gradient for require one.
        hyper: `hp.*` as Python numbers, or lists of them; it knows which of them nobody has read.
        words: arrays of text, as lists.
        weights: `w.*`, under their state-dict names; all require a gradient.
        expected: `out.*` and `grad.*` under their full keys, as float64 (or integer) arrays.
    """

    def __init__(self, path: Path, dtype: torch.dtype = torch.float64, outputs: Collection[str] = ()) -> None:
        """`outputs`: for a file whose keys have no prefixes, patterns of those that are expected."""
        with np.load(path, allow_pickle=False) as data:
            arrays = {_prefixed(key, data[key], outputs) if outputs else key: data[key] for key in data.files}
        words = [key for key, value in arrays.items() if value.dtype.kind == "U" and not key.startswith("hp.")]
        self.words = {_bare(key): arrays.pop(key).tolist() for key in words}
        self.name, self.dtype = path.stem.rpartition("_")[0], dtype
        self.expected = {key: value for key, value in arrays.items() if key.startswith(("out.", "grad."))}
        self.hyper = Hyper({key: value.tolist() for key, value in _part(arrays, "hp.").items()})
        self.weights = {key: self._tensor(value, grad=True) for key, value in _part(arrays, "w.").items()}
        self.inputs = {
            key: self._tensor(value, grad=any(f"{name}_".startswith(f"{key}_") for name in _part(arrays, "grad.")))
            for key, value in _part(arrays, "in.").items()
        }

    def series(self, prefix: str) -> list[Tensor]:
        """The inputs `prefix0`, `prefix1`, ... in order."""
        count = sum(key.removeprefix(prefix).isdigit() for key in self.inputs if key.startswith(prefix))
        return [self.inputs[f"{prefix}{i}"] for i in range(count)]

    def holds(self, **taken: Any) -> None:
        """What an adapter takes for granted of hyper-parameters that are no argument of ours; fails where the file differs."""
        said = {name: self.hyper[name] for name in taken}
        assert said == taken, f"the case is for {said}, its adapter for {taken}"

    def gradients(self, loss: Tensor, suffix: str = "", of: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Gradients of `loss` as `grad.<name><suffix>`, for each input and weight that the file has such a key for.

        `of` names other tensors (a module's parameters) instead. The graph is kept, so it may be called again.
        """
        named = {**self.inputs, **self.weights} if of is None else of
        wanted = {f"grad.{name}{suffix}": t for name, t in named.items() if f"grad.{name}{suffix}" in self.expected}
        found = torch.autograd.grad(loss, list(wanted.values()), retain_graph=True)
        return dict(zip(wanted, found, strict=True))

    def _tensor(self, value: np.ndarray, *, grad: bool) -> Tensor:
        tensor = torch.from_numpy(value.copy())
        return tensor.to(self.dtype).requires_grad_(grad) if tensor.is_floating_point() else tensor


def _prefixed(key: str, value: np.ndarray, outputs: Collection[str]) -> str:
    if any(fnmatchcase(key, pattern) for pattern in outputs):
        return f"grad.{key.removeprefix('grad_')}" if key.startswith("grad_") else f"out.{key}"
    return f"in.{key}" if value.ndim else f"hp.{key}"


def _bare(key: str) -> str:
    return key.removeprefix("in.")


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
