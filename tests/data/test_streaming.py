from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kdzoo.data import Streamed, stream
from kdzoo.data.streaming import middle, resized, window
from kdzoo.errors import RecipeError
from kdzoo.random import Streams


class Shades:
    """Images of differing sizes made from their index; `broken` cannot be read."""

    def __init__(self, count: int = 13, broken: Any = None) -> None:
        self.labels, self.broken = torch.arange(count) % 3, broken

    def image(self, index: Any) -> Any:
        if index == self.broken:
            raise RecipeError(f"shade {index} cannot be read.")
        generator = torch.Generator().manual_seed(index)
        return torch.randint(0, 256, (3, 20 + index, 30 - index), dtype=torch.uint8, generator=generator)

    def describe(self, index: Any) -> str:
        return f"shade {index}"

    def summary(self) -> Any:
        return f"shades {self.broken}".encode()


ORDER = [torch.tensor([5, 0, 12]), torch.tensor([7]), torch.tensor([1, 2, 3, 4])]


def draw(index: Any) -> Any:
    return Streams(3).uniform(index, Streamed.draws, "augmentation", 0)


def answers(workers: Any, uniform: Any = draw, **kwargs: Any) -> Any:
    return list(stream(Streamed(Shades(**kwargs), 8, 3), ORDER, uniform=uniform, workers=workers))


def test_batches_come_in_the_order_that_was_asked_for() -> None:
    streamed = Streamed(Shades(), 8, 3)
    for index, (images, labels) in zip(ORDER, answers(0, uniform=None), strict=True):
        assert torch.equal(images, torch.stack([streamed[i][0] for i in index.tolist()]))
        assert torch.equal(labels, index % 3)
        assert (images.dtype, images.shape[1:]) == (torch.uint8, (3, 8, 8))


def test_the_number_of_workers_changes_nothing() -> None:
    alone, helped = answers(0), answers(2)
    assert len(alone) == len(helped) == 3
    for (images, labels), (others, other_labels) in zip(alone, helped, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, other_labels)


def test_a_training_window_depends_on_its_own_numbers_only() -> None:
    again = next(stream(Streamed(Shades(), 8, 3), [torch.tensor([12, 7])], uniform=draw, workers=0))[0]
    first = answers(0)
    assert torch.equal(again[0], first[0][0][2])
    assert torch.equal(again[1], first[1][0][0])
    assert not torch.equal(again[0], answers(0, uniform=None)[0][0][2])


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generator_is_left_alone(workers: int) -> None:
    before = torch.get_rng_state()
    answers(workers)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_sentence(workers: int) -> None:
    with pytest.raises(RecipeError) as caught:
        answers(workers, broken=7)
    assert str(caught.value) == "shade 7 cannot be read."


unit = st.floats(0, 0.99999)


@given(height=st.integers(1, 90), width=st.integers(1, 90), numbers=st.tuples(unit, unit, unit, unit))
def test_windows_lie_inside_the_image(height: Any, width: Any, numbers: Callable[..., Any]) -> None:
    top, left, tall, wide = window(height, width, torch.tensor(numbers))
    assert 0 <= top <= top + tall <= height
    assert 0 <= left <= left + wide <= width
    assert min(tall, wide) >= 1


def test_windows_have_the_area_and_aspect_of_the_paper() -> None:
    uniform = Streams(0).uniform(torch.arange(4000), 4, "x")
    boxes = torch.tensor([window(4000, 4000, row) for row in uniform]).double()
    area, aspect = boxes[:, 2] * boxes[:, 3] / 4000**2, boxes[:, 3] / boxes[:, 2]
    assert area.min() > 0.079
    assert aspect.min() > 0.749
    assert aspect.max() < 1.334
    inside = (boxes[:, 2:] < 4000).all(1)  # neither side was cut to the image
    torch.testing.assert_close(area[inside], (0.08 + 0.92 * uniform[inside, 0]).double(), atol=2e-3, rtol=0)


def test_the_evaluation_window_is_resize_and_center_crop() -> None:
    assert middle(256, 256, 0.875) == (16, 16, 224, 224)
    assert middle(10, 30, 1.0) == (0, 10, 10, 10)


def test_scaling_agrees_with_pillow() -> None:
    ramp = torch.arange(64).expand(3, 64, 64).mul(3).to(torch.uint8)
    ours = resized(ramp, (8, 4, 48, 40), 16)
    image = Image.fromarray(ramp.permute(1, 2, 0).numpy())
    theirs = image.resize((16, 16), Image.Resampling.BILINEAR, box=(4, 8, 44, 56))
    difference = np.abs(np.asarray(theirs).astype(int) - ours.permute(1, 2, 0).numpy())
    assert difference[:, 1:-1].max() <= 1  # at the edges Pillow looks beyond the box
