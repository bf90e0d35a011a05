from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo.data.fashion_mnist import DEBIAN, FashionMNIST
from kdzoo.data.idx import read_idx
from kdzoo.data.sets import channel_statistics
from kdzoo.errors import MissingError, RecipeError


@pytest.mark.parametrize("packed", [False, True])
def test_the_four_files_are_read_plain_and_gzipped(tmp_path: Path, write_mnist: Callable[..., Any], packed: bool) -> None:
    images, labels = write_mnist(tmp_path, packed)
    data = FashionMNIST(folder=str(tmp_path)).load()
    assert torch.equal(data.train.images, images)
    assert torch.equal(data.train.labels, labels)
    assert (data.classes, data.shape, data.mean, data.std) == (10, (1, 28, 28), (0.286,), (0.353,))
    assert len(data.test) == 10
    assert data.validation is None


def test_packing_does_not_change_the_fingerprint(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    write_mnist(tmp_path / "plain")
    write_mnist(tmp_path / "packed", packed=True)
    plain, packed = (FashionMNIST(folder=str(tmp_path / name)).load() for name in ("plain", "packed"))
    assert plain.fingerprint == packed.fingerprint


def test_one_changed_pixel_changes_the_fingerprint(
    tmp_path: Path, write_mnist: Callable[..., Any], write_idx: Callable[..., Any]
) -> None:
    images, _ = write_mnist(tmp_path)
    before = FashionMNIST(folder=str(tmp_path)).load().fingerprint
    images[3, 0, 5, 7] += 1
    write_idx(tmp_path / "train-images-idx3-ubyte", images[:, 0])
    assert FashionMNIST(folder=str(tmp_path)).load().fingerprint != before


def test_torchvision_reads_the_same_images_from_its_layout(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    import torchvision

    write_mnist(tmp_path / "FashionMNIST" / "raw")
    theirs = torchvision.datasets.FashionMNIST(str(tmp_path), train=False, download=False)
    ours = FashionMNIST().load(tmp_path)
    assert torch.equal(ours.test.images[:, 0], theirs.data)
    assert torch.equal(ours.test.labels, theirs.targets)


def test_the_environment_names_a_shared_folder(
    tmp_path: Path, write_mnist: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path / "fashion-mnist")
    monkeypatch.setenv("KDZOO_DATA", str(tmp_path))
    assert len(FashionMNIST().load().train) == 20


def test_the_folder_of_the_debian_package_is_found(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    write_mnist(tmp_path / "debian", packed=True)
    assert len(FashionMNIST().load().train) == 20


def test_absent_files_are_missing_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        MissingError, match=r"was not found in .*Get it with: apt-get update && apt-get install -y dataset-fashion"
    ):
        FashionMNIST().load(tmp_path)


def test_a_wrong_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=f"Fashion-MNIST is not in {tmp_path}: train-images-idx3-ubyte, .* Correct the folder"
    ):
        FashionMNIST(folder=str(tmp_path)).load()


def test_one_lacking_file_is_named(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(RecipeError, match=f"{tmp_path} is not complete: t10k-labels-idx1-ubyte is missing"):
        FashionMNIST(folder=str(tmp_path)).load()


def test_a_truncated_file_is_named_with_both_lengths(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecipeError, match=f"{path} is damaged: its header announces 15696 bytes, it has 15596"):
        FashionMNIST(folder=str(tmp_path)).load()


@pytest.mark.parametrize("keep", [5, 400, -4])
def test_a_truncated_archive_is_damaged(tmp_path: Path, write_mnist: Callable[..., Any], keep: int) -> None:
    write_mnist(tmp_path, packed=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RecipeError, match=r"train-images-idx3-ubyte.gz is damaged: it does not unpack .*Fetch the file again"):
        FashionMNIST(folder=str(tmp_path)).load()


@pytest.mark.parametrize("content", [b"", b"\0\0", b"<html>no such page</html>", b"\0\0\x0d\x01\0\0\0\1\0\0\0\0"])
def test_a_file_of_another_format_says_what_it_begins_with(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(RecipeError, match=r"is not an idx file of unsigned bytes: it begins with .*expected 00 00 08"):
        read_idx(tmp_path / "x")


def test_images_of_another_shape_are_refused(
    tmp_path: Path, write_mnist: Callable[..., Any], write_idx: Callable[..., Any]
) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-images-idx3-ubyte", torch.zeros(20, 32, 32, dtype=torch.uint8))
    with pytest.raises(RecipeError, match=r"an array of shape \(20, 32, 32\): Fashion-MNIST has \(N, 28, 28\)"):
        FashionMNIST(folder=str(tmp_path)).load()


def test_labels_that_do_not_match_the_images_are_refused(
    tmp_path: Path, write_mnist: Callable[..., Any], write_idx: Callable[..., Any]
) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", torch.zeros(19, dtype=torch.uint8))
    with pytest.raises(RecipeError, match=r"labels of shape \(19,\) for the 20 images of train-images-idx3-ubyte"):
        FashionMNIST(folder=str(tmp_path)).load()


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_the_real_images_have_the_published_statistics() -> None:
    data = FashionMNIST(folder=str(DEBIAN)).load()
    assert torch.bincount(data.train.labels).tolist() == [6000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    mean, std = channel_statistics(data.train.images)
    assert (round(mean[0], 4), round(std[0], 4)) == (0.2860, 0.3530)
