"""Students cut from a teacher: some of its layers, and the leading units of its hidden states."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.errors import RecipeError
from kdzoo_text.models.classifier import layer_list


def cut(model: nn.Module, layers: Sequence[int]) -> None:
    """Keep these layers, counted from 1, of a transformer."""
    path, own = layer_list(model)
    wrong = [number for number in layers if not 1 <= number <= len(own)]
    if wrong or not layers or list(layers) != sorted(set(layers)):
        raise RecipeError(f"layers must be different layers of the teacher's {len(own)}, in order, got {list(layers)}.")
    kept = nn.ModuleList(own[number - 1] for number in layers)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, kept)
    model.config.num_hidden_layers = len(layers)  # type: ignore[union-attr]


def narrowed(model: nn.Module, width: int) -> nn.Module:
    """A copy with narrower hidden states. Every weight keeps its leading entries; queries, keys and values those of each head.

    The inside of the feed-forward layers shrinks by the same factor.
    """
    config: Any = copy.deepcopy(model.config)
    heads, whole = int(config.num_attention_heads), int(config.hidden_size)
    if not 0 < width <= whole or width % heads:
        raise RecipeError(f"width must be a multiple of the {heads} heads and at most the teacher's {whole}, got {width}.")
    config.intermediate_size = config.intermediate_size * width // whole
    config.hidden_size = width
    small = type(model)(config)
    of_heads = _leading_of_heads(heads, whole // heads, width // heads)
    state = model.state_dict()
    with torch.no_grad():
        for name, target in small.state_dict().items():
            target.copy_(_sliced(name, state[name], target.shape, of_heads))
    return small


def _leading_of_heads(heads: int, size: int, kept: int) -> Tensor:
    return (torch.arange(heads)[:, None] * size + torch.arange(kept)).flatten()


def _sliced(name: str, value: Tensor, shape: torch.Size, of_heads: Tensor) -> Tensor:
    inside = ".attention." in name
    for dim, size in enumerate(shape):
        if value.shape[dim] == size:
            continue
        by_head = inside and ((dim == 0 and _into_attention(name)) or (dim == 1 and _out_of_attention(name)))
        value = value.index_select(dim, of_heads) if by_head else value.narrow(dim, 0, size)
    return value


def _into_attention(name: str) -> bool:
    return any(f".{part}." in name for part in ("query", "key", "value", "q_lin", "k_lin", "v_lin"))


def _out_of_attention(name: str) -> bool:
    return any(f".{part}." in name for part in ("output.dense", "out_lin"))
