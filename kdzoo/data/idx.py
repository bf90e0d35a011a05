"""The idx format of MNIST and its successors, plain or gzipped.

A file is 0, 0, the type (8 for unsigned bytes), the number of dimensions, each dimension as a big-endian 32-bit number, then
the bytes in C order (Y. LeCun, C. Cortes, C. Burges, the MNIST database).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import torch
from torch import Tensor

from kdzoo.errors import RecipeError

UNSIGNED_BYTE = 8


def read_idx(path: Path) -> Tensor:
    """The file's array as a uint8 tensor. Raises RecipeError for a damaged file or another type."""
    content = _content(path)
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise RecipeError(
            f"{path} is not an idx file of unsigned bytes: it begins with {content[:4].hex(' ') or 'nothing'}, expected "
            "00 00 08. Fetch the file again."
        )
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise RecipeError(
            f"{path} is damaged: its header announces {start + math.prod(shape)} bytes, it has {len(content)}. "
            "Fetch the file again."
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:].reshape(shape)


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise RecipeError(f"{path} is damaged: it does not unpack ({error}). Fetch the file again.") from error
