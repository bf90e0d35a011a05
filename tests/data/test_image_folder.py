from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from kdzoo.data import Streamed
from kdzoo.data.image_folder import ImageFolder
from kdzoo.errors import RecipeError


def save(path: Path, image: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


@pytest.fixture
def folder(tmp_path: Path, numbers: Callable[..., Any]) -> Path:
    """Two classes, three parts, images of 16x16."""
    for seed, part in enumerate(("train", "val", "test")):
        for number, image in enumerate(numbers(6, 3, 16, 16, seed=seed)[0]):
            save(tmp_path / part / ("cat", "dog")[number % 2] / f"{number}.png", image)
    return tmp_path


def test_classes_are_numbered_alphabetically_and_pixels_kept(folder: Path, numbers: Callable[..., Any]) -> None:
    data = ImageFolder(folder=str(folder)).load()
    assert data.class_names == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(data.train.images, numbers(6, 3, 16, 16)[0][[0, 2, 4, 1, 3, 5]])
    assert {name: len(part) for name, part in data.parts.items()} == {"train": 6, "validation": 6, "test": 6}


def test_without_a_test_folder_val_is_the_test_part(folder: Path) -> None:
    before = ImageFolder(folder=str(folder)).load()
    (folder / "test").rename(folder / "unused")
    data = ImageFolder(folder=str(folder)).load()
    assert torch.equal(data.test.images, before.validation.images)
    assert data.validation is None


def test_a_relative_folder_is_found_in_the_shared_places(folder: Path) -> None:
    assert len(ImageFolder(folder=folder.name).load(folder.parent).train) == 6


def test_gray_images_have_one_channel(folder: Path) -> None:
    data = ImageFolder(folder=str(folder), channels=1).load()
    assert data.shape == (1, 16, 16)
    assert len(data.mean) == 1


def test_size_brings_differing_images_to_one_shape(folder: Path, numbers: Callable[..., Any]) -> None:
    save(folder / "train" / "cat" / "wide.png", numbers(1, 3, 16, 40)[0][0])
    assert ImageFolder(folder=str(folder), size=12).load().shape == (3, 12, 12)


def test_differing_shapes_name_the_file_and_both_shapes(folder: Path, numbers: Callable[..., Any]) -> None:
    save(folder / "test" / "dog" / "wide.png", numbers(1, 3, 16, 40)[0][0])
    with pytest.raises(RecipeError, match=r"dog/wide.png has the shape \(3, 16, 40\), .*train/cat/0.png \(3, 16, 16\)"):
        ImageFolder(folder=str(folder)).load()


def test_large_sets_are_streamed_and_hold_the_same_images(folder: Path) -> None:
    small = ImageFolder(folder=str(folder), size=12).load()
    large = ImageFolder(folder=str(folder), size=12, in_memory_mb=0).load()
    assert isinstance(large.train.images, Streamed)
    assert large.shape == small.shape
    for index in range(6):
        image, label = large.train.images[index]
        assert torch.equal(image, small.train.images[index])
        assert label == small.train.labels[index]
    torch.testing.assert_close(large.mean, small.mean)
    assert small.augment.draws == large.augment.draws == 0


def test_photographs_are_mirrored_and_cropped_where_one_says_so(folder: Path) -> None:
    small = ImageFolder(folder=str(folder), size=12, augment=True).load()
    large = ImageFolder(folder=str(folder), size=12, in_memory_mb=0, augment=True).load()
    assert small.augment.draws == 3
    assert large.augment.draws == 1  # the mirror; the window is chosen while decoding
    assert large.train.images.windows


def test_the_fingerprint_of_a_streamed_set_follows_its_files(folder: Path, numbers: Callable[..., Any]) -> None:
    def current() -> Any:
        return ImageFolder(folder=str(folder), size=12, in_memory_mb=0).load().fingerprint

    before = current()
    assert current() == before
    save(folder / "train" / "dog" / "9.png", numbers(1, 3, 16, 16)[0][0])
    assert current() != before


@pytest.mark.parametrize("whole", [2**28, 0])
def test_an_image_replaced_by_one_of_its_size_is_another_set(
    whole: int, folder: Path, numbers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdzoo.data.image_folder.WHOLE", whole)

    def current() -> Any:
        return ImageFolder(folder=str(folder), size=12, in_memory_mb=0).load().fingerprint

    found, sizes = set(), set()
    for pixels in numbers(2, 3, 16, 16)[0]:
        save(folder / "train" / "dog" / "8.bmp", pixels)
        sizes.add((folder / "train" / "dog" / "8.bmp").stat().st_size)
        found.add(current())
    assert (len(sizes), len(found)) == (1, 2)


def test_large_sets_without_size_say_how_large(folder: Path, numbers: Callable[..., Any]) -> None:
    for number, image in enumerate(numbers(2, 3, 500, 500)[0]):
        for part in ("train", "test"):
            save(folder / part / "cat" / f"-{number}.png", image)
    with pytest.raises(RecipeError, match=r"take about 16 MiB when decoded, more than in_memory_mb = 1: set size"):
        ImageFolder(folder=str(folder), in_memory_mb=1).load()


def test_a_class_that_training_lacks_is_refused_with_the_nearest(folder: Path) -> None:
    (folder / "test" / "dog").rename(folder / "test" / "dogs")
    with pytest.raises(RecipeError, match=r"test/dogs is a class that the training folder does not have; did you mean 'dog'"):
        ImageFolder(folder=str(folder)).load()


def test_an_absent_class_is_named(folder: Path) -> None:
    (folder / "test" / "dog").rename(folder / "dog")
    with pytest.raises(RecipeError, match="test/dog is missing or holds no images"):
        ImageFolder(folder=str(folder)).load()


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_absent_part_is_named(folder: Path, part: str) -> None:
    (folder / part).rename(folder / "unused")
    (folder / "val").rename(folder / "unused2")
    with pytest.raises(RecipeError, match=f"has no folder {part}.*are expected"):
        ImageFolder(folder=str(folder)).load()


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"There is no folder nowhere .looked for .*set folder"):
        ImageFolder(folder="nowhere").load(tmp_path)


def test_a_truncated_image_is_named(folder: Path) -> None:
    path = folder / "train" / "cat" / "2.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RecipeError, match=f"{path} cannot be read as an image .*replace or remove it"):
        ImageFolder(folder=str(folder)).load()


def test_only_one_or_three_channels_are_possible() -> None:
    with pytest.raises(ValueError, match="channels must be 3"):
        ImageFolder(folder="x", channels=4)


def test_size_must_be_positive(folder: Path) -> None:
    with pytest.raises(RecipeError, match="size must be at least 1 pixel, got 0"):
        ImageFolder(folder=str(folder), size=0).load()


@pytest.mark.parametrize("in_memory_mb", [512, 0])
def test_given_statistics_replace_the_measured_ones(folder: Path, in_memory_mb: int) -> None:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    data = ImageFolder(folder=str(folder), size=12, in_memory_mb=in_memory_mb, mean=mean, std=std).load()
    assert (list(data.mean), list(data.std)) == (mean, std)
