"""Images that do not fit into memory: decoded on demand by worker processes, in exactly the order that the caller lists.

The worker count changes the speed and nothing else: the main process draws each sample's numbers and sends them along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kdzoo.errors import RecipeError

Numbers = Callable[[Tensor], Tensor]


class Decoder(Protocol):
    """Labeled images in their own sizes; it is pickled to the workers.

    Attributes:
        labels: int64 (N,).
    """

    labels: Tensor

    def image(self, index: int) -> Tensor:
        """An image as uint8 (C, h, w). Raises RecipeError if it cannot be read."""

    def describe(self, index: int) -> str:
        """Which file it is, for error messages."""

    def summary(self) -> bytes:
        """What identifies the content, cheaply: files rather than pixels, and of very many bytes some."""


@dataclass(frozen=True)
class Streamed:
    """A decoder's images, all brought to `size` x `size` pixels.

    The middle `margin` of the shorter side is; with `windows`, in training a window of 8-100 % of the area and an aspect of
    3/4-4/3 instead (C. Szegedy and others, "Going Deeper with Convolutions", arXiv 1409.4842; one attempt, cut to the image).
    """

    decoder: Decoder
    size: int
    channels: int
    margin: float = 0.875
    windows: bool = False
    draws: ClassVar[int] = 4

    def __len__(self) -> int:
        return len(self.decoder.labels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W), as of a tensor."""
        return len(self), self.channels, self.size, self.size

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """The evaluation window of an image, uint8 (C, size, size), and its label."""
        return self.framed(index, None), int(self.decoder.labels[index])

    def framed(self, index: int, uniform: Tensor | None) -> Tensor:
        """A window of an image: the training window that the four numbers choose, or the evaluation window."""
        image = self.decoder.image(index)
        height, width = image.shape[1:]
        box = middle(height, width, self.margin) if uniform is None else window(height, width, uniform)
        return resized(image, box, self.size)

    def summary(self) -> bytes:
        """What identifies the content."""
        return self.decoder.summary() + f"{self.size} {self.margin}".encode()


Box = tuple[int, int, int, int]


def middle(height: int, width: int, margin: float) -> Box:
    """(top, left, height, width) of the centered square over `margin` of the shorter side."""
    side = max(1, round(min(height, width) * margin))
    return (height - side) // 2, (width - side) // 2, side, side


def window(height: int, width: int, uniform: Tensor) -> Box:
    """(top, left, height, width) of a random window, from four uniform numbers: area, aspect, place."""
    area, aspect, top, left = uniform.tolist()
    pixels = height * width * (0.08 + 0.92 * area)
    ratio = math.exp((2 * aspect - 1) * math.log(4 / 3))
    tall = min(height, max(1, round(math.sqrt(pixels / ratio))))
    wide = min(width, max(1, round(math.sqrt(pixels * ratio))))
    return int(top * (height - tall + 1)), int(left * (width - wide + 1)), tall, wide


def resized(image: Tensor, box: Box, size: int) -> Tensor:
    """A box of a uint8 image (C, h, w), scaled to `size` x `size` with an antialiased bilinear filter."""
    top, left, height, width = box
    cut = image[None, :, top : top + height, left : left + width]
    return F.interpolate(cut, size=(size, size), mode="bilinear", antialias=True)[0]


def stream(
    images: Streamed,
    batches: Iterable[Tensor],
    *,
    uniform: Numbers | None = None,
    workers: int = 2,
    pin_memory: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of uint8 images (B, C, size, size) and int64 labels (B,), in the order of the given index tensors (B,).

    Args:
        uniform: index (B,) to numbers (B, Streamed.draws) in [0, 1): random training windows; None: evaluation windows.
        workers: processes that decode; 0 decodes here. The result is the same.

    Raises:
        RecipeError: an image cannot be read.
    """
    requests = ((index.cpu(), uniform(index).cpu() if uniform else None) for index in batches)
    loader: DataLoader[Any] = DataLoader(
        _Requests(images),
        sampler=_Once(requests),
        batch_size=None,
        collate_fn=_as_is,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else the loader would draw from the global one
    )
    for answer in loader:
        if isinstance(answer, RecipeError):
            raise answer
        yield answer


class _Requests(Dataset[Any]):
    """Answers a request, which is a whole batch."""

    def __init__(self, images: Streamed) -> None:
        self.images = images

    def __getitem__(self, request: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor] | RecipeError:
        index, uniform = request
        numbers = [None] * len(index) if uniform is None else list(uniform)
        try:
            frames = [self.images.framed(i, u) for i, u in zip(index.tolist(), numbers, strict=True)]
        except RecipeError as error:  # sent as an answer: raised in a worker, it would arrive wrapped in a traceback
            return error
        return torch.stack(frames), self.images.decoder.labels[index]


class _Once:
    """A sampler without a length."""

    def __init__(self, requests: Iterable[Any]) -> None:
        self.requests = requests

    def __iter__(self) -> Iterator[Any]:
        return iter(self.requests)


def _as_is(answer: Any) -> Any:
    return answer
