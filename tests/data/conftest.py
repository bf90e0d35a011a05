"""Tiny files in the official formats, and a machine on which no data set is installed."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo.data import fashion_mnist


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's cache nor Debian's package decides a test."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KDZOO_DATA", raising=False)
    nowhere = fashion_mnist.Search(**{**vars(fashion_mnist.SEARCH), "extra": (tmp_path / "debian",)})
    monkeypatch.setattr(fashion_mnist, "SEARCH", nowhere)


@pytest.fixture
def numbers() -> Callable[..., Any]:
    """Reproducible uint8 images (N, C, H, W) and labels (N,) that use every class."""

    def make(
        count: Any, channels: int = 3, height: int = 32, width: int = 32, classes: int = 10, seed: int = 0
    ) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)
        return images, torch.arange(count) % classes

    return make


@pytest.fixture
def write_idx() -> Callable[..., Any]:
    """Write a uint8 tensor as an idx file."""

    def write(path: Path, array: Any, packed: bool = False) -> None:
        content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.numpy().tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if packed else content)

    return write


@pytest.fixture
def write_mnist(write_idx: Callable[..., Any], numbers: Callable[..., Any]) -> Callable[..., Any]:
    """Write the four files of an MNIST-like set and return the training images and labels."""

    def write(folder: Path, packed: bool = False) -> Any:
        end = ".gz" if packed else ""
        train, test = numbers(20, 1, 28, 28), numbers(10, 1, 28, 28, seed=1)
        for name, (images, labels) in (("train", train), ("t10k", test)):
            write_idx(folder / f"{name}-images-idx3-ubyte{end}", images[:, 0], packed)
            write_idx(folder / f"{name}-labels-idx1-ubyte{end}", labels.to(torch.uint8), packed)
        return train

    return write
