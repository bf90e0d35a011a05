"""The contract of every data source of images, each on a tiny copy of its files: `WRITERS[name](root)` writes them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from kdzoo import registry
from kdzoo.testing import DataContract
from kdzoo.testing.tiny import registered

CLASSES = 4


def _images(count: int, channels: int, side: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """uint8 (count, channels, side, side) and labels (count,) that use every class."""
    draw = torch.Generator().manual_seed(seed)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw), torch.arange(count) % CLASSES


def _idx(path: Path, array: Tensor) -> None:
    path.write_bytes(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.numpy().tobytes())


def _mnist(folder: Path) -> None:
    folder.mkdir(parents=True)
    for seed, name in enumerate(("train", "t10k")):
        images, labels = _images(8, 1, 28, seed)
        _idx(folder / f"{name}-images-idx3-ubyte", images[:, 0])
        _idx(folder / f"{name}-labels-idx1-ubyte", labels.to(torch.uint8))


def _tree(folder: Path, parts: tuple[str, ...]) -> None:
    for seed, part in enumerate(parts):
        for number, (image, label) in enumerate(zip(*_images(8, 3, 8, seed), strict=True)):
            path = folder / part / f"class{int(label)}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def digits(root: Path) -> Mapping[str, Any]:
    return {}


def tensors(root: Path) -> Mapping[str, Any]:
    (images, labels), (test, answers) = _images(8, 3, 8), _images(8, 3, 8, seed=1)
    return {"train_images": images, "train_labels": labels, "test_images": test, "test_labels": answers}


def cifar10(root: Path) -> Mapping[str, Any]:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        images, labels = _images(4, 3, 32, number)
        records = torch.cat([labels[:, None].to(torch.uint8), images.flatten(1)], 1)
        (folder / f"{name}.bin").write_bytes(records.numpy().tobytes())
    return {}


def cifar100(root: Path) -> Mapping[str, Any]:
    folder = root / "cifar-100-binary"
    folder.mkdir()
    for seed, name in enumerate(("train", "test")):
        images, labels = _images(8, 3, 32, seed)
        coarse_and_fine = labels[:, None].repeat(1, 2).to(torch.uint8)
        (folder / f"{name}.bin").write_bytes(torch.cat([coarse_and_fine, images.flatten(1)], 1).numpy().tobytes())
    return {}


def fashion_mnist(root: Path) -> Mapping[str, Any]:
    _mnist(root / "fashion-mnist")
    return {"folder": str(root / "fashion-mnist")}


def image_folder(root: Path) -> Mapping[str, Any]:
    _tree(root / "own", ("train", "val", "test"))
    return {"folder": str(root / "own")}


def torchvision(root: Path) -> Mapping[str, Any]:
    _mnist(root / "KMNIST" / "raw")
    return {"name": "KMNIST", "folder": str(root)}


WRITERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    function.__name__: function for function in (digits, tensors, cifar10, cifar100, fashion_mnist, image_folder, torchvision)
}


def _contract(name: str) -> type:
    class OfFiles(DataContract):
        data = name

        @pytest.fixture(autouse=True)
        def written(self, tmp_path: Path) -> None:
            type(self).root, type(self).settings = tmp_path, WRITERS[name](tmp_path)

    return OfFiles


globals().update({f"Test_{name}": _contract(name) for name in WRITERS})


def test_no_source_of_images_is_left_out() -> None:
    images = {name for name in registered("data") if registry.discover("data")[name].target.startswith("kdzoo.data")}
    assert images == set(WRITERS)
