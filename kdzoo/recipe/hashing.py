"""Python objects by their content, so that equal ones hash equally in every process."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdzoo import digests


def content(obj: Any) -> Any:
    """What JSON can hold of an object: tensors by their bytes, modules by structure, state and code, others by their fields.

    Raises TypeError where an object has no content that can be seen.
    """
    if isinstance(obj, Tensor):
        flat = obj.detach().cpu().contiguous().reshape(-1)
        return [str(obj.dtype), list(obj.shape), digests.of_bytes(flat.view(torch.uint8).numpy().tobytes())]
    if isinstance(obj, np.ndarray):
        return [str(obj.dtype), list(obj.shape), digests.of_bytes(np.ascontiguousarray(obj).tobytes())]
    if isinstance(obj, nn.Module):
        parts = [[name, type(part).__qualname__, part.extra_repr()] for name, part in obj.named_modules()]
        return [_code(type(obj)), parts, dict(obj.state_dict())]
    if isinstance(obj, Path | torch.dtype | torch.device):
        return str(obj)
    if isinstance(obj, set | frozenset):
        return sorted(map(repr, obj))
    if isinstance(obj, type) or (callable(obj) and hasattr(obj, "__qualname__")):
        return _code(obj)
    if hasattr(obj, "__dict__"):
        return [_code(type(obj)), vars(obj)]
    raise TypeError(f"a {type(obj).__qualname__} has no content to hash")


def source_hash(obj: Any) -> str:
    """SHA-256 of the source of a class or function; '' where there is none to read."""
    try:
        return digests.of_text(inspect.getsource(obj))
    except (OSError, TypeError):
        return ""


def _code(obj: Any) -> list[str]:
    return [obj.__module__, obj.__qualname__, source_hash(obj)]
