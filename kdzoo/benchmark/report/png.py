"""A picture as a PNG inside a page; enough for small images, and no library is needed."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

COLOR_TYPES = {1: 0, 3: 2}
"""Channels -> PNG's color type: gray, RGB."""


def encode(image: NDArray[np.uint8]) -> bytes:
    """A uint8 image (C, H, W) with one or three channels as PNG."""
    channels, height, width = image.shape
    rows = np.ascontiguousarray(image.transpose(1, 2, 0)).reshape(height, width * channels)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # filter 0 before each row: none
    header = struct.pack(">IIBBBBB", width, height, 8, COLOR_TYPES[channels], 0, 0, 0)
    parts = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def data_uri(image: NDArray[np.uint8]) -> str:
    """The same as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(encode(image)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
