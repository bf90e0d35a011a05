"""A picture as a PNG inside a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode(image: NDArray[np.uint8]) -> bytes:
    """A uint8 image (C, H, W) of gray, RGB or RGBA as PNG."""
    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", optimize=True)
    return file.getvalue()


def data_uri(image: NDArray[np.uint8]) -> str:
    """The same as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(encode(image)).decode()
