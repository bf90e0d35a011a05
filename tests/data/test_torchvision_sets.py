from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kdzoo.data.torchvision_sets import TorchvisionSet
from kdzoo.errors import MissingError, RecipeError


def test_a_set_with_a_train_argument_is_read(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    images, labels = write_mnist(tmp_path / "KMNIST" / "raw")
    data = TorchvisionSet(name="KMNIST").load(tmp_path)
    assert torch.equal(data.train.images, images)
    assert torch.equal(data.train.labels, labels)
    assert data.class_names[0] == "o"
    assert len(data.test) == 10


def test_a_set_with_named_splits_is_read(tmp_path: Path, numbers: Callable[..., Any]) -> None:
    for seed, part in enumerate(("train", "valid", "test")):
        for number, image in enumerate(numbers(4, 3, 8, 8, seed=seed)[0]):
            path = tmp_path / "country211" / part / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    data = TorchvisionSet(name="Country211", folder=str(tmp_path)).load()
    assert torch.equal(data.test.images, numbers(4, 3, 8, 8, seed=2)[0][[0, 2, 1, 3]])
    assert torch.equal(data.validation.images, numbers(4, 3, 8, 8, seed=1)[0][[0, 2, 1, 3]])
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    streamed = TorchvisionSet(name="Country211", folder=str(tmp_path), size=8, in_memory_mb=0).load()
    assert streamed.shape == (3, 8, 8)
    assert len(streamed.fingerprint) == 64


def test_gray_images_among_color_ones_become_color(tmp_path: Path, numbers: Callable[..., Any]) -> None:
    for part in ("train", "valid", "test"):
        for name, image in (("a/0", numbers(1, 3, 8, 8)[0][0].permute(1, 2, 0)), ("b/1", numbers(1, 1, 8, 8)[0][0, 0])):
            path = tmp_path / "country211" / part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.numpy()).save(path)
    data = TorchvisionSet(name="Country211").load(tmp_path)
    assert torch.equal(data.train.images[1], numbers(1, 1, 8, 8)[0][0].expand(3, -1, -1))
    assert TorchvisionSet(name="Country211", channels=1).load(tmp_path).shape == (1, 8, 8)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no data set named 'FasionMNIST'; did you mean 'FashionMNIST'"):
        TorchvisionSet(name="FasionMNIST").load()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Caltech101", "has no train or split argument"),
        ("UCF101", "cannot be opened by name alone, it needs annotation_path"),
    ],
)
def test_a_set_without_known_test_images_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        TorchvisionSet(name=name).load()


def test_a_set_without_class_labels_is_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for kind in ("image_2", "label_2"):
            path = tmp_path / "Kitti" / "raw" / ("training" if part == "train" else "testing") / kind
            path.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path.parent / "image_2" / "0.png")
    with pytest.raises(RecipeError, match="has no list with one whole number per image as its label"):
        TorchvisionSet(name="Kitti").load(tmp_path)


def test_absent_files_are_missing_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"cannot open SVHN .*d.SVHN\('.*', split=p, download=True\) for p in"):
        TorchvisionSet(name="SVHN").load(tmp_path)


def test_a_set_that_cannot_be_downloaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=f"torchvision cannot download it: put its official files into {tmp_path}"):
        TorchvisionSet(name="ImageNet").load(tmp_path)


@pytest.mark.parametrize(
    ("start", "stop", "error", "sentence"),
    [
        (0, -1, MissingError, "torchvision cannot open KMNIST .*invalid for input of size 15679.*Get it with"),
        (4, None, RecipeError, "torchvision cannot read KMNIST in .*fetch the data again"),
    ],
)
def test_a_damaged_file_is_one_sentence(
    tmp_path: Path, write_mnist: Callable[..., Any], start: int, stop: int | None, error: Any, sentence: str
) -> None:
    write_mnist(tmp_path / "KMNIST" / "raw")
    path = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[start:stop])
    with pytest.raises(error, match=sentence):
        TorchvisionSet(name="KMNIST").load(tmp_path)
