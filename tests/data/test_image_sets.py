from typing import Any

import numpy as np
import pytest
import torch

from kdzoo.data import Tensors, augmentation
from kdzoo.data.sets import channel_statistics
from kdzoo.errors import RecipeError


def source(**changes: Any) -> Tensors:
    generator = torch.Generator().manual_seed(0)
    given = {
        "train_images": torch.randint(0, 256, (12, 3, 6, 5), dtype=torch.uint8, generator=generator),
        "train_labels": torch.arange(12) % 4,
        "test_images": torch.randint(0, 256, (8, 3, 6, 5), dtype=torch.uint8, generator=generator),
        "test_labels": torch.arange(8) % 4,
    }
    return Tensors(**{**given, **changes})


def test_own_tensors_become_a_data_set() -> None:
    data = source().load()
    assert (data.classes, data.shape, data.class_names) == (4, (3, 6, 5), ("0", "1", "2", "3"))
    pixels = data.train.images.double() / 255
    torch.testing.assert_close(torch.tensor(data.mean).double(), pixels.mean((0, 2, 3)), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.tensor(data.std).double(), pixels.std((0, 2, 3), correction=0), atol=1e-6, rtol=0)


def test_numpy_arrays_gray_images_and_features_are_taken() -> None:
    gray = source(train_images=np.zeros((12, 6, 5), np.uint8), test_images=np.zeros((8, 6, 5), np.uint8)).load()
    assert gray.shape == (1, 6, 5)
    features = source(train_images=torch.randn(12, 7, dtype=torch.float64), test_images=torch.randn(8, 7)).load()
    assert features.shape == (1, 1, 7)
    assert features.train.images.dtype == torch.float32


def test_given_settings_are_kept() -> None:
    data = source(mean=[0.1] * 3, std=[1] * 3, class_names=list("abcde"), augment=augmentation(flip=True)).load()
    assert (data.mean, data.std, data.classes, data.augment.draws) == ((0.1, 0.1, 0.1), (1, 1, 1), 5, 1)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    mean, std = channel_statistics(torch.full((3, 1, 2, 2), 51, dtype=torch.uint8))
    assert mean == pytest.approx((0.2,))
    assert std == (1.0,)


def test_parts_move_to_a_device() -> None:
    part = source().load().train.to("meta")
    assert part.images.device.type == part.labels.device.type == "meta"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train_images": torch.zeros(12)}, r"train_images is torch.float32 of shape \(12,\)"),
        ({"train_images": torch.zeros(12, 3, 6, 5, dtype=torch.int64)}, "train_images is torch.int64"),
        ({"train_labels": torch.zeros(12)}, r"train_labels is torch.float32 of shape \(12,\): give whole numbers"),
        ({"train_labels": torch.zeros(11, dtype=torch.int64)}, "The train part has 12 images and 11 labels"),
        ({"test_labels": torch.tensor([-1] * 8)}, "The test labels reach from -1 to -1"),
        ({"test_images": torch.zeros(8, 3, 6, 6)}, r"The test images have shape \(3, 6, 6\), the training images \(3, 6, 5\)"),
        ({"class_names": ["a"]}, "labels reach from 0 to 3, but the data set has 1 classes"),
        ({"mean": [0.5]}, "mean has 1 and std 3 values for images of 3 channels"),
        (
            {"test_images": torch.zeros(0, 3, 6, 5), "test_labels": torch.zeros(0, dtype=torch.int64)},
            "The test part has 0 images and 0 labels",
        ),
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(changes: Any, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        source(**changes).load()
