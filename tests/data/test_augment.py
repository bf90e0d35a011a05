from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as reference

from kdzoo.data import Augmentation, Crop, Cutout, Flip, Jitter, augmentation, normalize, strong
from kdzoo.random import Streams

EVERY = [Crop(3), Flip(), Cutout(5, (0.2, 0.4, 0.6)), Jitter(), strong(augmentation(crop=4, flip=True), shape=(3, 16, 12))]


def numbers_for(step: Any, count: Any, epoch: int = 0) -> Any:
    return Streams(7).uniform(torch.arange(count), step.draws, "augmentation", epoch)


@pytest.fixture
def images(numbers: Callable[..., Any]) -> Any:
    return numbers(24, 3, 16, 12)[0]


@pytest.mark.parametrize("step", EVERY, ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("floating", [False, True])
def test_a_sample_does_not_depend_on_its_batch(images: Any, step: Any, floating: bool) -> None:
    images = images.float() / 255 if floating else images
    uniform = numbers_for(step, 24)
    whole = step(images, uniform)
    alone = torch.cat([step(images[i : i + 1], uniform[i : i + 1]) for i in range(24)])
    shuffled = torch.randperm(24)
    assert torch.equal(whole, alone)
    assert torch.equal(whole[shuffled], step(images[shuffled], uniform[shuffled]))
    assert (whole.dtype, whole.shape) == (images.dtype, images.shape)
    assert not torch.equal(whole, images)


@pytest.mark.parametrize("step", EVERY, ids=lambda step: type(step).__name__)
def test_memory_format_and_input_are_respected(images: Any, step: Any) -> None:
    uniform, before = numbers_for(step, 24), images.clone()
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(step(images, uniform), step(last, uniform))
    assert torch.equal(images, before)


def test_crops_are_the_windows_of_the_padded_image(images: Any) -> None:
    uniform = torch.tensor([[row, column] for row in (0.0, 0.5, 0.999999) for column in (0.0, 0.4, 0.999999)])
    cropped = Crop(2)(images[:9], uniform)
    for image, result, (row, column) in zip(images, cropped, (uniform * 5).long().tolist(), strict=False):
        padded = reference.pad(image, [2])
        assert torch.equal(result, reference.crop(padded, row, column, 16, 12))


def test_all_windows_are_equally_likely(images: Any) -> None:
    uniform = numbers_for(Crop(1), 9000)
    marker = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    marker[0, 0, 1, 1] = 1
    found = Crop(1)(marker.expand(9000, -1, -1, -1), uniform).flatten(1).argmax(1)
    counts = torch.bincount(found, minlength=9).double()
    assert ((counts - 1000) ** 2 / 1000).sum() < 26.1  # chi-squared, 8 degrees of freedom, p = 0.001


def test_half_are_mirrored(images: Any) -> None:
    flipped = Flip()(images[:2], torch.tensor([[0.49], [0.5]]))
    assert torch.equal(flipped[0], reference.hflip(images[0]))
    assert torch.equal(flipped[1], images[1])


def test_cutout_blanks_a_square_cut_off_at_the_border(images: Any) -> None:
    inside, corner = Cutout(4, (1.0, 0.0, 0.2))(images[:2], torch.tensor([[0.5, 0.5], [0.0, 0.99]]))
    expected = images[0].clone()
    expected[:, 6:10, 4:8] = torch.tensor([255, 0, 51], dtype=torch.uint8).view(3, 1, 1)
    assert torch.equal(inside, expected)
    changed = (corner != images[1]).any(0).nonzero()
    assert (changed.amin(0).tolist(), changed.amax(0).tolist()) == ([0, 9], [1, 11])


@pytest.mark.parametrize(
    ("column", "adjust"),
    [(0, reference.adjust_brightness), (1, reference.adjust_contrast), (2, reference.adjust_saturation)],
)
@pytest.mark.parametrize("number", [0.0, 0.3, 0.9])
def test_each_jitter_is_torchvisions_adjustment(images: Any, column: int, adjust: Any, number: float) -> None:
    uniform = torch.full((24, 3), 0.5)
    uniform[:, column] = number
    ours = Jitter(0.4, 0.4, 0.4)(images.float() / 255, uniform)
    theirs = adjust(images.float() / 255, 1 + 0.4 * (2 * number - 1))
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)  # our luma weights and mean are rounded a little differently


def test_gray_images_are_jittered_too(numbers: Callable[..., Any]) -> None:
    gray = numbers(4, 1, 8, 8)[0]
    assert Jitter(saturation=1.0)(gray, torch.full((4, 3), 0.5)).equal(gray)


def test_each_step_gets_its_own_numbers(images: Any) -> None:
    both = Augmentation((Crop(3), Flip()))
    uniform = numbers_for(both, 24)
    assert both.draws == 3
    assert torch.equal(both(images, uniform), Flip()(Crop(3)(images, uniform[:, :2]), uniform[:, 2:]))


def test_too_few_numbers_are_refused(images: Any) -> None:
    with pytest.raises(ValueError, match=r"uniform has shape \(24, 2\), expected \(24, 3\)"):
        Augmentation((Crop(3), Flip()))(images, torch.rand(24, 2))


def test_nothing_configured_changes_nothing(images: Any) -> None:
    nothing = augmentation()
    assert nothing.draws == 0
    assert torch.equal(nothing(images, torch.empty(24, 0)), images)


def test_the_factory_builds_what_is_asked_for() -> None:
    built = augmentation(crop=4, flip=True, cutout=8, fill=[0.5])
    assert built.steps == (Crop(4), Flip(), Cutout(8, (0.5,)))


def test_the_strong_view_keeps_the_mirror_and_replaces_crop_and_cutout() -> None:
    steps = strong(augmentation(crop=4, flip=True, cutout=3), shape=(3, 32, 32), fill=(0.5,)).steps
    assert steps == (Crop(8), Flip(), Jitter(), Cutout(16, (0.5,)))


def test_normalization_is_torchvisions(images: Any) -> None:
    mean, std = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
    theirs = reference.normalize(images.float().div(255), mean, std)
    assert torch.equal(normalize(images, mean, std), theirs)
    assert torch.equal(normalize(images.float() / 255, mean, std), theirs)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: augmentation(crop=-1), "crop must be at least 0, got -1"),
        (lambda: augmentation(cutout=-2), "cutout must be at least 0, got -2"),
        (lambda: Crop(0), "crop must be at least 1, got 0"),
        (lambda: Jitter(contrast=2), "contrast must be between 0 and 1, got 2"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
