import io
import pickle
import struct
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdzoo.data.cifar import CIFAR10, CIFAR100
from kdzoo.errors import MissingError, RecipeError


def python2_pickle(data: Any, key: Any, labels: Any) -> Any:
    """{'data': data, key: labels} in the opcodes of Python 2's cPickle (protocol 2), as in the official files."""

    def text(value: Any) -> Any:
        return b"U" + bytes([len(value)]) + value.encode()

    def integers(values: Any) -> str:
        return b"".join(b"K" + bytes([value]) for value in values)

    shape = b"".join(b"M" + struct.pack("<H", length) for length in data.shape) + b"\x86"
    dtype = b"cnumpy\ndtype\n(" + text("u1") + b"K\0K\1tR(K\3" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    pixels = b"T" + struct.pack("<i", data.nbytes) + data.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t" + text("b") + b"tR(K\1" + shape + dtype + b"\x89"
    return (
        b"\x80\2}("
        + text("data") + array + pixels + b"tb"
        + text(key) + b"](" + integers(labels) + b"e"
        + b"u."
    )  # fmt: skip


def batch(images: Any, labels: Any) -> tuple[Any, Any]:
    return images.flatten(1).numpy(), labels.tolist()


@pytest.fixture
def cifar10(tmp_path: Path, numbers: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """The Python version of CIFAR-10 with ten images a batch; returns its folder and its images and labels."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    images, labels = numbers(60)
    for number in range(6):
        pixels, targets = batch(images[10 * number : 10 * number + 10], labels[10 * number : 10 * number + 10])
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        (folder / name).write_bytes(python2_pickle(pixels, "labels", targets))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"name{k}" for k in range(10)]}, protocol=2))
    return folder, images, labels


def binary10(folder: Path, images: Any, labels: Any) -> None:
    folder.mkdir()
    records = torch.cat([labels[:, None].to(torch.uint8), images.flatten(1)], 1)
    for number in range(6):
        name = f"data_batch_{number + 1}.bin" if number < 5 else "test_batch.bin"
        (folder / name).write_bytes(records[10 * number : 10 * number + 10].numpy().tobytes())


def pack(folder: Path, archive: Any) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)


def test_python_batches_are_joined_in_order(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    _, images, labels = cifar10
    data = CIFAR10().load(tmp_path)
    assert torch.equal(data.train.images, images[:50])
    assert torch.equal(data.train.labels, labels[:50])
    assert torch.equal(data.test.images, images[50:])
    assert data.class_names[3] == "name3"
    assert data.mean == (0.4914, 0.4822, 0.4465)


def test_all_official_forms_hold_the_same_data(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    folder, images, labels = cifar10
    expected = CIFAR10(folder=str(folder)).load().fingerprint
    for name in ("archive", "binary", "binary_archive"):
        (tmp_path / name).mkdir()
    pack(folder, tmp_path / "archive" / "cifar-10-python.tar.gz")
    binary10(tmp_path / "binary" / "cifar-10-batches-bin", images, labels)
    pack(tmp_path / "binary" / "cifar-10-batches-bin", tmp_path / "binary_archive" / "cifar-10-binary.tar.gz")
    for name in ("archive", "binary", "binary_archive"):
        assert CIFAR10(folder=str(tmp_path / name)).load().fingerprint == expected, name


def test_numpy_2_pickles_of_python_3_are_read_too(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    folder, images, labels = cifar10
    pixels, targets = batch(images[50:], labels[50:])
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pixels, "labels": targets}, protocol=2))
    assert torch.equal(CIFAR10().load(tmp_path).test.images, images[50:])


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100_takes_the_fine_labels(tmp_path: Path, numbers: Callable[..., Any], binary: bool) -> None:
    images, labels = numbers(100, classes=100)
    coarse = labels // 5
    folder = tmp_path / ("cifar-100-binary" if binary else "cifar-100-python")
    folder.mkdir()
    for name in ("train", "test"):
        if binary:
            rows = torch.cat([coarse[:, None], labels[:, None], images.flatten(1)], 1).to(torch.uint8)
            (folder / f"{name}.bin").write_bytes(rows.numpy().tobytes())
        else:
            content = {"data": images.flatten(1).numpy(), "fine_labels": labels.tolist(), "coarse_labels": coarse.tolist()}
            (folder / name).write_bytes(pickle.dumps(content))
    data = CIFAR100().load(tmp_path)
    assert torch.equal(data.train.labels, labels)
    assert torch.equal(data.train.images, images)
    assert (data.mean, data.std) == ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))


class Malicious:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("executed",))


def test_a_pickle_that_wants_to_execute_something_is_refused(
    tmp_path: Path, cifar10: tuple[Any, Any, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _, _ = cifar10
    (folder / "data_batch_2").write_bytes(pickle.dumps({"data": Malicious(), "labels": []}))
    with pytest.raises(RecipeError, match=r"data_batch_2 is damaged: it cannot be read \(it asks for builtins.print"):
        CIFAR10().load(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("keep", [0, 1, 300, -1])
def test_a_truncated_pickle_is_damaged(tmp_path: Path, cifar10: tuple[Any, Any, Any], keep: int) -> None:
    path = cifar10[0] / "data_batch_3"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RecipeError, match=f"{path} is damaged: it cannot be read .*Fetch it again"):
        CIFAR10().load(tmp_path)


def test_truncated_records_are_damaged(tmp_path: Path, numbers: Callable[..., Any]) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    binary10(folder, *numbers(60))
    path = folder / "data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecipeError, match=f"{path} is damaged: it has 30729 bytes, .* records of 3073"):
        CIFAR10().load(tmp_path)


@pytest.mark.parametrize("keep", [20, 3000])
def test_a_truncated_archive_is_damaged(tmp_path: Path, cifar10: tuple[Any, Any, Any], keep: int) -> None:
    archive = tmp_path / "archive" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    pack(cifar10[0], archive)
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(RecipeError, match=f"{archive} is damaged: it does not unpack"):
        CIFAR10(folder=str(archive.parent)).load()


def test_an_archive_without_a_batch_is_not_complete(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    folder, _, _ = cifar10
    (folder / "data_batch_4").unlink()
    (tmp_path / "archive").mkdir()
    pack(folder, tmp_path / "archive" / "cifar-10-python.tar.gz")
    with pytest.raises(RecipeError, match=r"cifar-10-python.tar.gz is not complete: data_batch_4 is missing"):
        CIFAR10(folder=str(tmp_path / "archive")).load()


def test_a_folder_without_a_batch_is_not_complete(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    (cifar10[0] / "data_batch_4").unlink()
    with pytest.raises(RecipeError, match=f"{cifar10[0]} is not complete: data_batch_4 is missing beside data_batch_1"):
        CIFAR10().load(tmp_path)


def test_images_of_another_size_are_refused(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    content = python2_pickle(np.zeros((10, 784), dtype=np.uint8), "labels", [0] * 10)
    (cifar10[0] / "data_batch_1").write_bytes(content)
    with pytest.raises(
        RecipeError, match=r"data_batch_1 is damaged: its 'data' is uint8 \(10, 784\), expected uint8 \(N, 3072\)"
    ):
        CIFAR10().load(tmp_path)


def test_labels_under_another_name_are_refused(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    content = python2_pickle(np.zeros((10, 3072), dtype=np.uint8), "fine_labels", [0] * 10)
    (cifar10[0] / "data_batch_1").write_bytes(content)
    with pytest.raises(RecipeError, match="it has no list 'labels' with one label for each of its 10 images"):
        CIFAR10().load(tmp_path)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path, cifar10: tuple[Any, Any, Any]) -> None:
    content = python2_pickle(np.zeros((10, 3072), dtype=np.uint8), "labels", [12] * 10)
    (cifar10[0] / "data_batch_1").write_bytes(content)
    with pytest.raises(RecipeError, match="train labels reach from 0 to 12, but the data set has 10 classes"):
        CIFAR10().load(tmp_path)


def test_absent_files_are_missing_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        MissingError, match=r"CIFAR-100 was not found in .*curl -L -o ~/.cache/kdzoo/cifar-100-python.tar.gz https"
    ):
        CIFAR100().load(tmp_path)


def test_old_pickles_raise_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    from kdzoo.data.cifar_files import _unpickle

    content = python2_pickle(np.arange(3072, dtype=np.uint8)[None], "labels", [7])
    assert _unpickle(content, "x")["data"].shape == (1, 3072)
    assert not recwarn.list


def test_the_handmade_pickle_is_what_ordinary_pickle_reads() -> None:
    with warnings.catch_warnings(action="ignore"):
        value = pickle.load(io.BytesIO(python2_pickle(np.ones((2, 3), dtype=np.uint8), "labels", [1, 2])), encoding="latin1")
    assert value["data"].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert value["labels"] == [1, 2]
