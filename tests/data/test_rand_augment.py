"""RandAugment's operations against torchvision's, and its own laws."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.transforms.functional as reference
from torchvision.transforms import InterpolationMode

from kdzoo.data.rand_augment import OPERATIONS, STEPS, RandAugment
from kdzoo.random import Streams

NEAREST = {"interpolation": InterpolationMode.NEAREST, "fill": [0.0]}


def expected(name: str, image: Any, strength: Any) -> Any:
    """What torchvision makes of a uint8 image (C, H, W) at a signed strength."""
    height, width = image.shape[1:]
    slope = math.degrees(math.atan(strength))
    plain = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **NEAREST}
    return {
        "Identity": lambda: image,
        "ShearX": lambda: reference.affine(image, **plain | {"shear": [slope, 0.0], "center": [0, 0]}),
        "ShearY": lambda: reference.affine(image, **plain | {"shear": [0.0, slope], "center": [0, 0]}),
        "TranslateX": lambda: reference.affine(image, **plain | {"translate": [int(strength * width), 0]}),
        "TranslateY": lambda: reference.affine(image, **plain | {"translate": [0, int(strength * height)]}),
        "Rotate": lambda: reference.rotate(image, strength, **NEAREST),
        "Brightness": lambda: reference.adjust_brightness(image, 1 + strength),
        "Color": lambda: reference.adjust_saturation(image, 1 + strength),
        "Contrast": lambda: reference.adjust_contrast(image, 1 + strength),
        "Sharpness": lambda: reference.adjust_sharpness(image, 1 + strength),
        "Posterize": lambda: reference.posterize(image, 8 - round(abs(strength))),
        "Solarize": lambda: reference.solarize(image, math.ceil(255 * (1 - abs(strength)) - 1e-4)),
        "AutoContrast": lambda: reference.autocontrast(image),
        "Equalize": lambda: reference.equalize(image),
    }[name]()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("magnitude", [0, 9, 30])
@pytest.mark.parametrize("sign", [-1, 1])
def test_operations_are_torchvisions(numbers: Callable[..., Any], name: str, magnitude: int, sign: int) -> None:
    images = numbers(6, 3, 20, 20)[0]
    operation, most = OPERATIONS[name]
    strength = most * magnitude / STEPS * sign
    ours = (operation(images.float() / 255, torch.full((6,), strength)) * 255).round().int()
    theirs = torch.stack([expected(name, image, strength) for image in images]).int()
    near = ((ours - theirs).abs() <= 2).float().mean()  # they cut off where we round; and an edge may round the other way
    assert near > (0.97 if name in ("ShearX", "ShearY", "Rotate") else 0.9999)


def test_every_operation_is_as_likely_and_both_signs_are() -> None:
    step = RandAugment(operations=1, magnitude=30)
    uniform = Streams(0).uniform(torch.arange(5000), step.draws, "x")
    ramp = torch.linspace(0, 1, 64).view(1, 1, 8, 8).expand(5000, 1, 8, 8)
    changed = (step(ramp, uniform) != ramp).flatten(1).any(1).float().mean()
    assert 10 / 14 < changed < 13 / 14  # identity changes nothing, color and autocontrast nothing in a gray ramp
    darker = step(ramp, uniform).mean((1, 2, 3)) < ramp.mean((1, 2, 3)) - 0.3
    assert 0.02 < darker.float().mean() < 0.1


@pytest.mark.parametrize("floating", [False, True])
def test_a_sample_does_not_depend_on_its_batch(numbers: Callable[..., Any], floating: bool) -> None:
    images = numbers(24, 3, 16, 12)[0]
    images = images.float() / 255 if floating else images
    step = RandAugment(2, 15)
    uniform = Streams(7).uniform(torch.arange(24), step.draws, "x")
    before = images.clone()
    whole = step(images, uniform)
    assert torch.equal(whole, torch.cat([step(images[i : i + 1], uniform[i : i + 1]) for i in range(24)]))
    assert torch.equal(images, before)
    assert (whole.dtype, whole.shape) == (images.dtype, images.shape)
    assert not torch.equal(whole, images)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="magnitude must be between 0 and 30, got 31"):
        RandAugment(2, 31)
    with pytest.raises(ValueError, match="rand_augment must be at least 1, got 0"):
        RandAugment(0)
